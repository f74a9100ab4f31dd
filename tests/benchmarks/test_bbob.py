"""The figure of the comparison on bbob; the comparison itself is no test."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.benchmarks.bbob import TARGETS, areas, bootstrap


def test_area_is_the_share_of_targets_over_the_logarithm_of_evaluations():
    trace = np.full(100, 1e3)
    trace[9:] = 1e1  # meets the targets 10^2 .. 10^1 with the tenth evaluation
    share = np.mean(TARGETS >= 1e1 * (1 - 1e-12))
    assert areas(trace) == pytest.approx(share * (1.0 - math.log(10) / math.log(100)))


def test_area_of_nothing_and_of_everything():
    assert areas(np.full((2, 50), 1e3)) == pytest.approx(0.0)
    assert areas(np.zeros((2, 50))) == pytest.approx(1.0)


def test_bootstrap_holds_the_mean_and_shrinks_with_instances():
    rng = np.random.default_rng(0)
    mean, low, high = bootstrap(rng.normal(size=(4, 10)))
    assert low < mean < high
    _, closer, further = bootstrap(rng.normal(size=(4, 1000)))
    assert further - closer < (high - low) / 5.0
