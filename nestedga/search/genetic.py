"""The genetic algorithm with weights that Cray published.

Vose et al. 2019, "Recombination of Artificial Neural Networks" (arXiv:1901.03900). A child has three parents, each
drawn in proportion to fitness: a and b give the genes, alpha gives the weights.

    fitness_i   = exp(-sigma * ((fom_i - min) / (max - min)) ** 2)
    a, b, alpha ~ fitness
    genes       = mutate(crossover(a, b))
    weights     = alpha's
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nestedga.member import Evaluation, Member
from nestedga.search.base import Birth, Generational
from nestedga.search.operators import gaussian_fitness, mutate, roulette, uniform_crossover
from nestedga.search.ranking import scores


@dataclass(eq=False, kw_only=True)
class Genetic(Generational):
    """Generational genetic algorithm over genes and weights.

    Attributes:
        sigma: selection pressure; never published, the default is ours (docs/benchmarks.md has the measurement).
        crossover_rate: probability that a gene comes from b and not from a, in [0, 1].
        mutation_rate: probability that a gene is mutated, in [0, 1].
        elites: how many of the best go on unchanged in the next generation, with their own weights; 0 as published.
    """

    sigma: float = 8.0
    crossover_rate: float = 0.5
    mutation_rate: float = 0.2
    elites: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(self.sigma >= 0.0, "sigma", "would favour the worst; use 0 (no selection) or more")
        for name in ("crossover_rate", "mutation_rate"):
            self.check(0.0 <= getattr(self, name) <= 1.0, name, "is no probability; use a number from 0 to 1")
        most = self.population_size - 1
        self.check(0 <= self.elites <= most, "elites", f"must be from 0 to population_size - 1 = {most}")

    def _child(self, rng: np.random.Generator, slot: int, viable: Sequence[tuple[Member, Evaluation]]) -> Birth:
        if slot < min(self.elites, len(viable)):
            elite = viable[slot][0]
            return Birth(elite.genotype, (elite.id,), (elite.id,))
        fitness = gaussian_fitness(scores([evaluation for _, evaluation in viable]), self.sigma)
        a, b, alpha = (viable[roulette(rng, fitness)][0] for _ in range(3))
        genotype = uniform_crossover(rng, self.space, a.genotype, b.genotype, self.crossover_rate)
        return Birth(mutate(rng, self.space, genotype, self.mutation_rate), (a.id, b.id), (alpha.id,))
