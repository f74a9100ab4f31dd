"""Operators that several searches share: selection, crossover, mutation. Each takes its random generator first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nestedga.genes import MUTATION_DEVIATION
from nestedga.member import Genotype
from nestedga.space import Space


def gaussian_fitness(foms: Sequence[float] | NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Fitness from minimised FoMs, shape (n,), each in [exp(-sigma), 1]; the best has 1.

    ``exp(-sigma * ((fom - min) / (max - min)) ** 2)``, Vose et al. 2019 (arXiv:1901.03900). Where all FoMs are
    equal, everybody has 1.
    """
    values = np.asarray(foms, dtype=np.float64)
    spread = values.max() - values.min()
    scaled = (values - values.min()) / spread if spread > 0.0 else np.zeros_like(values)
    return np.exp(-sigma * scaled**2)


def roulette(rng: np.random.Generator, fitness: NDArray[np.float64]) -> int:
    """An index drawn in proportion to fitness, shape (n,)."""
    return int(rng.choice(len(fitness), p=fitness / fitness.sum()))


def uniform_crossover(rng: np.random.Generator, space: Space, a: Genotype, b: Genotype, rate: float) -> Genotype:
    """Genes of a; each that b has as well is b's instead with probability ``rate``."""
    genotype = {path: (b if path in b and rng.random() < rate else a)[path] for path in a}
    return space.completed(rng, {**{path: b[path] for path in b if path not in a}, **genotype})


def mutate(
    rng: np.random.Generator, space: Space, genotype: Genotype, rate: float, deviation: float = MUTATION_DEVIATION
) -> Genotype:
    """Each gene mutated with probability ``rate``, by steps of standard deviation ``deviation`` in unit space."""
    mutated = {
        path: space[path].mutate(rng, value, deviation) if rng.random() < rate else value
        for path, value in genotype.items()
    }
    return space.completed(rng, mutated)


def explore(rng: np.random.Generator, space: Space, genotype: Genotype, resample: float) -> Genotype:
    """Each gene drawn afresh with probability ``resample``, else perturbed (Jaderberg et al. 2017, section 4.1.1)."""
    explored = {
        path: space[path].sample(rng) if rng.random() < resample else space[path].perturb(rng, value)
        for path, value in genotype.items()
    }
    return space.completed(rng, explored)
