"""An exact Gaussian process for a few hundred points.

Rasmussen and Williams 2006, "Gaussian Processes for Machine Learning" (MIT Press), chapters 2 and 5. For points X of
shape (n, d), targets y of mean zero and independent noise N = diag(noise variances), with K = k(X, X) + N = L L':

    mean(x)      = k(x, X) alpha,   alpha = K^-1 y                                (eq. 2.25, algorithm 2.1)
    variance(x)  = k(x, x) - |L^-1 k(X, x)|^2                                     (eq. 2.26)
    log evidence = -y' alpha / 2 - sum_i log L_ii - n log(2 pi) / 2               (eq. 5.8)
    its slope    = tr((alpha alpha' - K^-1) dK/dlog) / 2                          (eq. 5.9)

The logarithms of the parameters are fitted by maximum a posteriori: a normal prior around what is usual keeps them
sensible while there are few points. A point in flight is taken in with the mean as its value: that leaves the mean
where it is and takes away variance, so nobody is sent there again (Desautels et al. 2014, "Parallelizing Exploration-
Exploitation Tradeoffs in Gaussian Process Bandit Optimization", JMLR 15, section 4).
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, lapack, solve_triangular
from scipy.optimize import minimize

Floats = NDArray[np.float64]

JITTER = 1e-10  # noise variance that every point has, for the Cholesky factor to exist; targets have variance 1
LEAST_VARIANCE = 1e-12  # of a prediction: what rounding leaves of it
BOUND = 3.5  # how many of the prior's deviations a parameter may be away from what is usual


class Kernel(Protocol):
    """A covariance with positive parameters, whose logarithms are ``log``, shape (num_parameters,)."""

    def covariance(self, log: Floats, a: Floats, b: Floats) -> Floats:
        """Shape (len(a), len(b)), for points of shape (len(.), d)."""
        ...

    def variance(self, log: Floats, points: Floats) -> Floats:
        """The diagonal of ``covariance(log, points, points)``, shape (len(points),)."""
        ...

    def derivatives(self, log: Floats, points: Floats) -> list[Floats]:
        """Of ``covariance(log, points, points)`` by each parameter's logarithm, shape (n, n) each."""
        ...

    def slope(self, log: Floats, at: Floats, points: Floats) -> tuple[Floats, Floats]:
        """Of the covariance between ``at``, shape (d,), and points by ``at``, shape (n, d); of the variance, (d,)."""
        ...


class GaussianProcess:
    """What is known at some points, and what to expect elsewhere.

    Args:
        kernel: the covariance.
        points: shape (n, d).
        targets: shape (n,), of mean about 0 and variance about 1.
        noise: shape (n, num_noises); the noise variance of a point is the sum of its row times the noise parameters.
        usual: logarithms of all parameters, the kernel's and then the noise's: the prior's mean.
        spread: standard deviation of the prior of each.
    """

    def __init__(
        self, kernel: Kernel, points: Floats, targets: Floats, noise: Floats, usual: Floats, spread: Floats
    ) -> None:
        self.kernel, self.points, self.targets = kernel, points, targets
        self._noise, self._usual, self._spread = noise, usual, spread
        self._num_noises = noise.shape[1]
        self.log = usual
        """Logarithms of all parameters."""

    def log_posterior(self, log: Floats) -> tuple[float, Floats]:
        """Of the parameters, up to a constant, and its slope; -inf where the covariance is singular."""
        try:
            factor = self._cholesky(log)
        except np.linalg.LinAlgError:
            return -math.inf, np.zeros_like(log)
        alpha = cho_solve((factor, True), self.targets, check_finite=False)
        lower = np.tril(lapack.dpotri(factor, lower=1)[0])
        inverse = lower + np.tril(lower, -1).T
        inner = np.outer(alpha, alpha) - inverse
        slope = [np.vdot(inner, d) for d in self.kernel.derivatives(log[: -self._num_noises], self.points)]
        slope += list(np.diag(inner) @ self._noise * np.exp(log[-self._num_noises :]))
        deviations = (log - self._usual) / self._spread
        evidence = -0.5 * self.targets @ alpha - np.log(np.diag(factor)).sum()
        return float(evidence - 0.5 * deviations @ deviations), 0.5 * np.array(slope) - deviations / self._spread

    def fit(self, max_iterations: int) -> GaussianProcess:
        """Maximises the posterior of the parameters, from the usual ones."""

        def loss(log: Floats) -> tuple[float, Floats]:
            value, slope = self.log_posterior(log)
            return (-value, -slope) if math.isfinite(value) else (1e10, slope)

        bounds = list(zip(self._usual - BOUND * self._spread, self._usual + BOUND * self._spread, strict=True))
        found = minimize(
            loss, self._usual, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": max_iterations}
        )
        self.log = found.x
        return self

    def condition(self, pending: Floats) -> GaussianProcess:
        """Gets ready to predict with the parameters that ``log`` has.

        Args:
            pending: points in flight, shape (num_pending, d).
        """
        self._theta = self.log[: -self._num_noises]
        n, jitter = len(self.points), 0.0
        while True:
            try:
                self._factor = self._cholesky(self.log, jitter)
                alpha = cho_solve((self._factor, True), self.targets, check_finite=False)
                if len(pending):
                    self._extend(pending, jitter)
                break
            except np.linalg.LinAlgError:
                jitter = max(10.0 * jitter, 10.0 * JITTER)
        self._alpha = np.append(alpha, np.zeros(len(self._factor) - n))
        return self

    def predict(self, at: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation, without noise, shape (len(at),) each."""
        covariance = self.kernel.covariance(self._theta, at, self._all)
        explained = solve_triangular(self._factor, covariance.T, lower=True, check_finite=False)
        variance = self.kernel.variance(self._theta, at) - (explained**2).sum(axis=0)
        return covariance @ self._alpha, np.sqrt(np.maximum(variance, LEAST_VARIANCE))

    def lower_bound(self, at: Floats, kappa: float) -> tuple[float, Floats]:
        """``mean - kappa * deviation`` at one point, shape (d,), and its slope."""
        covariance = self.kernel.covariance(self._theta, at[None], self._all)[0]
        slopes, own_slope = self.kernel.slope(self._theta, at, self._all)
        weights = cho_solve((self._factor, True), covariance, check_finite=False)
        variance = self.kernel.variance(self._theta, at[None])[0] - covariance @ weights
        deviation = math.sqrt(max(variance, LEAST_VARIANCE))
        slope = self._alpha @ slopes - kappa * (own_slope - 2.0 * weights @ slopes) / (2.0 * deviation)
        return float(covariance @ self._alpha) - kappa * deviation, slope

    def _cholesky(self, log: Floats, jitter: float = 0.0) -> Floats:
        covariance = self.kernel.covariance(log[: -self._num_noises], self.points, self.points)
        own = self._noise @ np.exp(log[-self._num_noises :])
        covariance[np.diag_indices_from(covariance)] += own + JITTER + jitter
        self._all = self.points
        return np.asarray(cholesky(covariance, lower=True, overwrite_a=True, check_finite=False))

    def _extend(self, pending: Floats, jitter: float) -> None:
        """Appends points to the Cholesky factor: O(n^2) for each instead of O(n^3)."""
        cross = self.kernel.covariance(self._theta, self.points, pending)
        below = solve_triangular(self._factor, cross, lower=True, check_finite=False)
        corner = self.kernel.covariance(self._theta, pending, pending) - below.T @ below
        least = self._noise.min(axis=0) @ np.exp(self.log[-self._num_noises :])
        corner[np.diag_indices_from(corner)] += least + JITTER + jitter
        n, p = len(self.points), len(pending)
        factor = np.zeros((n + p, n + p))
        factor[:n, :n] = np.tril(self._factor)
        factor[n:, :n] = below.T
        factor[n:, n:] = cholesky(corner, lower=True, check_finite=False)
        self._factor, self._all = factor, np.concatenate([self.points, pending])


def matern(distance: Floats) -> tuple[Floats, Floats]:
    """Correlation of smoothness 5/2 at a distance in length-scales, and ``-slope / distance`` (eq. 4.17)."""
    r = math.sqrt(5.0) * distance
    decay = np.exp(-r)
    return (1.0 + r + r * r / 3.0) * decay, 5.0 / 3.0 * (1.0 + r) * decay


def squared_distances(a: Floats, b: Floats) -> Floats:
    """Shape (len(a), len(b))."""
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2.0 * (a @ b.T)
    return np.asarray(np.maximum(squares, 0.0))
