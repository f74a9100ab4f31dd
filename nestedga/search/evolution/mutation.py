"""Mutation: changes of one genotype, gene by gene."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nestedga.population.genes import MUTATION_DEVIATION, CategoricalGene, Gene, on_scale, reflect
from nestedga.population.member import GeneValue, Genotype
from nestedga.population.space import Space
from nestedga.population.values import same

TINY = 1e-9  # of the unit: where genes know only whole steps, a mutation of this deviation is the smallest of them


def mutate(
    rng: np.random.Generator, space: Space, genotype: Genotype, rate: float, deviation: float = MUTATION_DEVIATION
) -> Genotype:
    """Each gene mutated with probability ``rate``, by steps of standard deviation ``deviation`` in unit space."""
    return _changed(rng, space, genotype, rate, lambda gene, value: gene.mutate(rng, value, deviation))


def polynomial_mutation(
    rng: np.random.Generator, space: Space, genotype: Genotype, rate: float, eta: float
) -> Genotype:
    """Each gene moved by a ``polynomial_step`` in unit space with probability ``rate``, folded back at the borders.

    Choices without an order become one of the others; whole numbers and ordered choices move by one at least. Genes
    without a scale are mutated in their own way.
    """

    def move(gene: Gene, value: GeneValue) -> GeneValue:
        if isinstance(gene, CategoricalGene) or not on_scale(gene):
            return gene.mutate(rng, value)
        moved = gene.from_unit(reflect(gene.to_unit(value) + polynomial_step(rng.random(), eta)))
        return gene.mutate(rng, value, TINY) if same(moved, value) else moved

    return _changed(rng, space, genotype, rate, move)


def polynomial_step(uniform: float, eta: float) -> float:
    """A step in (-1, 1) from a uniform number in [0, 1), with density ``0.5 * (eta + 1) * (1 - abs(step)) ** eta``.

    Deb and Goyal 1996, "A Combined Genetic Adaptive Search (GeneAS) for Engineering Design", the perturbance factor.
    """
    if uniform < 0.5:
        return float((2.0 * uniform) ** (1.0 / (eta + 1.0))) - 1.0
    return 1.0 - float((2.0 * (1.0 - uniform)) ** (1.0 / (eta + 1.0)))


def reset_mutation(rng: np.random.Generator, space: Space, genotype: Genotype, rate: float) -> Genotype:
    """Each gene drawn afresh with probability ``rate``."""
    return _changed(rng, space, genotype, rate, lambda gene, value: gene.sample(rng))


def _changed(
    rng: np.random.Generator,
    space: Space,
    genotype: Genotype,
    rate: float,
    change: Callable[[Gene, GeneValue], GeneValue],
) -> Genotype:
    uniforms = rng.random(len(genotype)).tolist()
    changed = {
        path: change(space[path], value) if uniform < rate else value
        for (path, value), uniform in zip(genotype.items(), uniforms, strict=True)
    }
    return space.completed(rng, changed)
