"""Crossover: one child's genes from two parents.

A gene that only one parent has goes to the child where it turns out active. Real-coded crossovers mix in unit space,
on the gene's own scale; what falls outside [0, 1] is folded back, so that no border collects it. Choices without an
order have nothing between them: there they toss a coin. Genes without a scale cross their values by themselves.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nestedga.population.genes import CategoricalGene, Gene, on_scale, reflect
from nestedga.population.member import GeneValue, Genotype
from nestedga.population.space import Space
from nestedga.population.values import same


def uniform_crossover(rng: np.random.Generator, space: Space, a: Genotype, b: Genotype, rate: float) -> Genotype:
    """Genes of a; each that b has as well is taken of b instead with probability ``rate`` (Syswerda 1989)."""
    return _crossed(rng, space, a, b, rate, lambda gene, value, other: gene.cross(rng, value, other))


def one_point_crossover(rng: np.random.Generator, space: Space, a: Genotype, b: Genotype, rate: float) -> Genotype:
    """With probability ``rate``, genes of a up to a point and of b after it; else those of a (Holland 1975).

    The point lies anywhere between two genes in the order of their paths, so that genes of one section of the
    configuration mostly stay together.
    """
    if rng.random() >= rate:
        return dict(a)
    paths = [gene.path for gene in space.free]
    cut = 1 + int(rng.random() * (len(paths) - 1))
    of_b = {path: b[path] for path in paths[cut:] if path in b}
    return space.completed(rng, {**b, **a, **of_b})


def blend_crossover(
    rng: np.random.Generator, space: Space, a: Genotype, b: Genotype, rate: float, alpha: float
) -> Genotype:
    """Genes of a; each with probability ``rate`` uniform between the parents' and a little beyond.

    BLX-alpha, Eshelman and Schaffer 1993, "Real-Coded Genetic Algorithms and Interval-Schemata"
    (doi:10.1016/B978-0-08-094832-4.50018-0): uniform on ``[low - alpha * d, high + alpha * d]`` with d = high - low.
    """

    def blend(x: float, y: float) -> float:
        return x + (y - x) * ((1.0 + 2.0 * alpha) * rng.random() - alpha)

    return _crossed(rng, space, a, b, rate, lambda gene, value, other: _mixed(rng, gene, value, other, blend))


def simulated_binary_crossover(
    rng: np.random.Generator, space: Space, a: Genotype, b: Genotype, rate: float, eta: float
) -> Genotype:
    """Genes of a; each with probability ``rate`` near one parent's, as far as the parents lie apart.

    SBX, Deb and Agrawal 1995, "Simulated Binary Crossover for Continuous Search Space": of the two children that lie
    around the parents' mean, ``spread_factor`` times as far apart as they, either with equal chance.
    """

    def mix(x: float, y: float) -> float:
        half = 0.5 * spread_factor(rng.random(), eta)
        return 0.5 * (x + y) + (half if rng.random() < 0.5 else -half) * (x - y)

    return _crossed(rng, space, a, b, rate, lambda gene, value, other: _mixed(rng, gene, value, other, mix))


def spread_factor(uniform: float, eta: float) -> float:
    """SBX's beta from a uniform number in [0, 1).

    Its density is ``0.5 * (eta + 1) * beta ** eta`` below 1 and ``0.5 * (eta + 1) / beta ** (eta + 2)`` above.
    """
    if uniform <= 0.5:
        return float((2.0 * uniform) ** (1.0 / (eta + 1.0)))
    return float((2.0 * (1.0 - uniform)) ** (-1.0 / (eta + 1.0)))


def _crossed(
    rng: np.random.Generator,
    space: Space,
    a: Genotype,
    b: Genotype,
    rate: float,
    cross: Callable[[Gene, GeneValue, GeneValue], GeneValue],
) -> Genotype:
    child = dict(b)  # where it stays so, a lacks the gene
    for (path, value), uniform in zip(a.items(), rng.random(len(a)).tolist(), strict=True):
        child[path] = cross(space[path], value, b[path]) if uniform < rate and path in b else value
    return space.completed(rng, child)


def _mixed(
    rng: np.random.Generator, gene: Gene, value: GeneValue, other: GeneValue, mix: Callable[[float, float], float]
) -> GeneValue:
    if same(value, other):
        return value
    if isinstance(gene, CategoricalGene):
        return value if rng.random() < 0.5 else other
    if not on_scale(gene):
        return gene.cross(rng, value, other)
    return gene.from_unit(reflect(mix(gene.to_unit(value), gene.to_unit(other))))
