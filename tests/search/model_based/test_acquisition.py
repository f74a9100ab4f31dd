"""Acquisitions against the integrals they stand for, and the portfolio against Exp3."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import chisquare, norm

from nestedga.search.model_based.acquisition import (
    Portfolio,
    expected_improvement,
    lower_confidence_bound,
    probability_of_improvement,
)

MEAN, DEVIATION, BEST = np.array([0.3, 1.0, -0.5]), np.array([0.5, 2.0, 0.1]), 0.2
LIKELY = 0.001  # a test whose figure is unlikelier than this is red; the seeds are fixed


def test_improvements_are_their_integrals():
    y, weights = np.linspace(-15.0, 15.0, 300_001), []
    for mean, deviation in zip(MEAN, DEVIATION, strict=True):
        density = norm.pdf(y, mean, deviation) * (y[1] - y[0])
        weights.append(((density * np.maximum(BEST - y, 0.0)).sum(), density[y < BEST].sum()))
    expected, probability = np.array(weights).T
    np.testing.assert_allclose(expected_improvement(MEAN, DEVIATION, BEST), expected, atol=1e-6)
    np.testing.assert_allclose(probability_of_improvement(MEAN, DEVIATION, BEST), probability, atol=1e-3)


def test_where_the_model_is_sure_the_improvement_is_known():
    sure = np.zeros(3)
    np.testing.assert_allclose(expected_improvement(MEAN, sure, BEST), np.maximum(BEST - MEAN, 0.0), atol=1e-9)
    np.testing.assert_allclose(probability_of_improvement(MEAN, sure, BEST), MEAN < BEST)


def test_the_lower_confidence_bound_is_minimised():
    np.testing.assert_allclose(lower_confidence_bound(MEAN, DEVIATION, 2.0), -(MEAN - 2.0 * DEVIATION))


def test_portfolio_nominates_as_often_as_it_says():
    portfolio = Portfolio(("a", "b", "c"), 100)
    np.testing.assert_allclose(portfolio.probabilities(), 1 / 3)
    portfolio.earn("b", 0.05, 1.0)
    rng = np.random.default_rng(0)
    drawn = [portfolio.nominator(rng) for _ in range(3000)]
    counts = [sum(name == nominator for nominator, _ in drawn) for name in "abc"]
    assert chisquare(counts, 3000 * portfolio.probabilities()).pvalue > LIKELY
    assert dict(drawn) == pytest.approx(dict(zip("abc", portfolio.probabilities(), strict=True)))


def test_portfolio_earns_by_exp3():
    portfolio = Portfolio(("a", "b", "c"), 100)
    gamma = math.sqrt(3 * math.log(3) / ((math.e - 1) * 100))
    portfolio.earn("a", 0.5, 0.8)
    weights = np.array([math.exp(gamma * 0.8 / (3 * 0.5)), 1.0, 1.0])
    np.testing.assert_allclose(portfolio.probabilities(), (1 - gamma) * weights / weights.sum() + gamma / 3)
