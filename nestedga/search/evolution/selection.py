"""Selection: who becomes a parent. Fitness from scores (smaller is better), and draws by fitness or by tournament.

Goldberg and Deb 1991, "A Comparative Analysis of Selection Schemes Used in Genetic Algorithms", compares all four.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def gaussian_fitness(foms: Sequence[float] | NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Fitness from minimised FoMs, shape (n,), each in [exp(-sigma), 1]; the best has 1.

    ``exp(-sigma * ((fom - min) / (max - min)) ** 2)``, Vose et al. 2019 (arXiv:1901.03900). Where all FoMs are
    equal, everybody has 1.
    """
    values = np.asarray(foms, dtype=np.float64)
    spread = values.max() - values.min()
    scaled = (values - values.min()) / spread if spread > 0.0 else np.zeros_like(values)
    return np.exp(-sigma * scaled**2)


def linear_rank_fitness(scores: NDArray[np.float64], pressure: float) -> NDArray[np.float64]:
    """Fitness by place alone, shape (n,): ``pressure`` for the best, 1 for the median, 2 - pressure for the worst.

    ``pressure - 2 * (pressure - 1) * place / (n - 1)`` with place 0 the best, Baker 1985, "Adaptive selection methods
    for genetic algorithms": the expected number of draws in n. Equal scores share the mean of their places.
    """
    if len(scores) == 1:
        return np.ones(1)
    from scipy.stats import rankdata  # 30 MB, and each rank has this module

    place = rankdata(scores) - 1.0
    return np.asarray(pressure - 2.0 * (pressure - 1.0) * place / (len(scores) - 1))


def truncation_fitness(scores: NDArray[np.float64], fraction: float) -> NDArray[np.float64]:
    """1 for the best ``max(1, round(fraction * n))`` and whoever equals the last of them, 0 for all others.

    Mühlenbein and Schlierkamp-Voosen 1993, "Predictive Models for the Breeder Genetic Algorithm"
    (doi:10.1162/evco.1993.1.1.25).
    """
    num_best = max(1, round(fraction * len(scores)))
    last = np.sort(scores)[num_best - 1]
    return np.where(scores <= last, 1.0, 0.0)


def roulette(rng: np.random.Generator, fitness: NDArray[np.float64]) -> int:
    """An index drawn in proportion to fitness, shape (n,)."""
    cumulative = fitness.cumsum()
    drawn = int(cumulative.searchsorted(rng.random() * cumulative[-1], side="right"))
    return min(drawn, len(fitness) - 1)  # rounding may carry the product up to the sum itself


def tournament(rng: np.random.Generator, scores: Sequence[float] | NDArray[np.float64], size: int) -> int:
    """The index of the best of ``size`` drawn with repetition; between equals, of the first drawn.

    The i-th best of n, i from 0, wins with probability ``((n - i) ** size - (n - i - 1) ** size) / n ** size``.
    """
    drawn = (rng.random(size) * len(scores)).astype(np.intp).tolist()
    return int(min(drawn, key=scores.__getitem__))
