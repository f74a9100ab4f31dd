"""The Gaussian process and both kernels against Rasmussen and Williams 2006."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal, norm

from nestedga.search import pb2, trust_region
from nestedga.search.model_based.gaussian_process import JITTER, GaussianProcess, matern, squared_distances

KERNELS = {
    "quadratic": (trust_region.Quadratic(), trust_region.USUAL[:5]),
    "time_varying": (pb2.TimeVarying(), pb2.USUAL[:3]),
}
every_kernel = pytest.mark.parametrize(("kernel", "usual"), KERNELS.values(), ids=KERNELS)
NOISE = np.log([0.01, 0.1])
RNG = np.random.default_rng(0)
POINTS, TARGETS, AT = RNG.normal(size=(12, 3)), RNG.normal(size=12), RNG.normal(size=(4, 3))


def process(kernel, usual):
    noise = np.stack([np.ones(12), TARGETS**2], axis=1)
    usual = np.append(usual, NOISE)
    return GaussianProcess(kernel, POINTS, TARGETS, noise, usual, np.full(len(usual), 2.0))


def noisy_covariance(kernel, log):
    own = np.exp(NOISE[0]) + np.exp(NOISE[1]) * TARGETS**2 + JITTER
    return kernel.covariance(log, POINTS, POINTS) + np.diag(own)


@every_kernel
def test_prediction_is_equations_2_25_and_2_26(kernel, usual):
    mean, deviation = process(kernel, usual).condition(np.empty((0, 3))).predict(AT)
    cross, inverse = kernel.covariance(usual, AT, POINTS), np.linalg.inv(noisy_covariance(kernel, usual))
    np.testing.assert_allclose(mean, cross @ inverse @ TARGETS)
    variance = kernel.covariance(usual, AT, AT) - cross @ inverse @ cross.T
    np.testing.assert_allclose(deviation**2, np.diag(variance))


@every_kernel
def test_posterior_of_parameters_is_evidence_times_prior_and_its_slope_is_right(kernel, usual):
    model = process(kernel, usual)

    def value(log):
        return model.log_posterior(log)[0]

    def expected(log):
        covariance = kernel.covariance(log[:-2], POINTS, POINTS)
        covariance += np.diag(np.exp(log[-2]) + np.exp(log[-1]) * TARGETS**2 + JITTER)
        prior = norm.logpdf(log, np.append(usual, NOISE), 2.0).sum()
        return multivariate_normal.logpdf(TARGETS, cov=covariance) + prior

    a = np.append(usual, NOISE)
    b = a + RNG.normal(scale=0.3, size=len(a))
    assert value(a) - value(b) == pytest.approx(expected(a) - expected(b))
    np.testing.assert_allclose(model.log_posterior(b)[1], approx_fprime(b, value, 1e-6), rtol=1e-4, atol=1e-4)


@every_kernel
def test_fit_climbs(kernel, usual):
    model = process(kernel, usual)
    before = model.log_posterior(model.log)[0]
    assert model.log_posterior(model.fit(20).log)[0] > before


@every_kernel
def test_lower_bound_and_its_slope_with_points_in_flight(kernel, usual):
    model = process(kernel, usual).condition(AT[:2])
    bound, slope = model.lower_bound(AT[3], 1.5)
    mean, deviation = model.predict(AT[3:])
    assert bound == pytest.approx(mean[0] - 1.5 * deviation[0])
    numeric = approx_fprime(AT[3], lambda at: model.lower_bound(at, 1.5)[0], 1e-6)
    first = 1 if isinstance(kernel, pb2.TimeVarying) else 0  # nobody moves in time
    np.testing.assert_allclose(slope[first:], numeric[first:], rtol=1e-4, atol=1e-5)


@every_kernel
def test_a_point_in_flight_is_one_told_with_the_mean(kernel, usual):
    """Desautels et al. 2014: the mean stays where it is, and variance goes as if the point were known."""
    alone = process(kernel, usual).condition(np.empty((0, 3)))
    together = process(kernel, usual).condition(AT[:2])
    told = np.append(TARGETS, alone.predict(AT[:2])[0])
    noise = np.stack([np.ones(14), np.append(TARGETS**2, [np.min(TARGETS**2)] * 2)], axis=1)
    everything = GaussianProcess(
        kernel, np.concatenate([POINTS, AT[:2]]), told, noise, np.append(usual, NOISE), np.ones(len(usual) + 2)
    ).condition(np.empty((0, 3)))
    for ours, expected in zip(together.predict(AT), everything.predict(AT), strict=True):
        np.testing.assert_allclose(ours, expected)
    np.testing.assert_allclose(together.predict(AT)[0], alone.predict(AT)[0])
    assert (together.predict(AT[:2])[1] < alone.predict(AT[:2])[1]).all()


def test_equal_points_without_noise_are_no_obstacle():
    model = GaussianProcess(
        trust_region.Quadratic(), np.ones((5, 3)), np.zeros(5), np.zeros((5, 1)), np.zeros(6), np.ones(6)
    )
    mean, deviation = model.condition(np.ones((3, 3))).predict(np.ones((1, 3)))
    assert np.isfinite(mean).all() and deviation[0] < 1e-2


def test_matern_is_equation_4_17():
    r = np.array([0.0, 0.3, 2.0])
    expected = (1 + np.sqrt(5) * r + 5 * r**2 / 3) * np.exp(-np.sqrt(5) * r)
    correlation, decline = matern(r)
    np.testing.assert_allclose(correlation, expected)
    slope = (matern(r + 1e-6)[0] - matern(np.abs(r - 1e-6))[0]) / 2e-6
    np.testing.assert_allclose(-decline * r, slope, atol=1e-6)


def test_squared_distances():
    expected = ((POINTS[:, None] - AT) ** 2).sum(axis=-1)
    np.testing.assert_allclose(squared_distances(POINTS, AT), expected)
