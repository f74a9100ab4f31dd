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

import numpy as np

from nestedga.errors import SettingError
from nestedga.member import Evaluation, Genotype, Member
from nestedga.search.base import Generational
from nestedga.search.operators import gaussian_fitness, mutate, roulette, uniform_crossover
from nestedga.space import Space


class Genetic(Generational):
    """Generational genetic algorithm over genes and weights.

    Args:
        space: the genes.
        seed: of all draws.
        population_size: slots, 2 or more.
        generations: how many, the first random one counted.
        budget: length of an interval.
        inherit: ``weights`` (population based) or ``none`` (every member trained from scratch: the plain GA).
        sigma: selection pressure; never published, the default is ours (docs/benchmarks.md has the measurement).
        crossover_rate: probability that a gene comes from b and not from a, in [0, 1].
        mutation_rate: probability that a gene is mutated, in [0, 1].
        elites: how many of the best go on unchanged in the next generation, with their own weights; 0 as published.
    """

    def __init__(
        self,
        space: Space,
        *,
        seed: int,
        population_size: int,
        generations: int,
        budget: int,
        inherit: str = "weights",
        sigma: float = 8.0,
        crossover_rate: float = 0.5,
        mutation_rate: float = 0.2,
        elites: int = 0,
    ) -> None:
        super().__init__(
            space,
            seed=seed,
            population_size=population_size,
            generations=generations,
            budget=budget,
            inherit=inherit,
        )
        if not sigma >= 0.0:
            raise SettingError(f"search.sigma={sigma} would favour the worst; use 0 (no selection) or more")
        for name, rate in (("crossover_rate", crossover_rate), ("mutation_rate", mutation_rate)):
            if not 0.0 <= rate <= 1.0:
                raise SettingError(f"search.{name}={rate} is no probability; use a number from 0 to 1")
        if not 0 <= elites < population_size:
            raise SettingError(f"search.elites={elites} must be from 0 to population_size - 1 = {population_size - 1}")
        self.sigma = sigma
        self.crossover_rate = crossover_rate
        self.mutation_rate = mutation_rate
        self.elites = elites

    def _child(
        self, rng: np.random.Generator, slot: int, viable: Sequence[tuple[Member, Evaluation]]
    ) -> tuple[Genotype, tuple[int, ...], tuple[int, ...]]:
        if slot < min(self.elites, len(viable)):
            elite = viable[slot][0]
            return elite.genotype, (elite.id,), (elite.id,)
        fitness = gaussian_fitness([evaluation.fom for _, evaluation in viable], self.sigma)
        a, b, alpha = (viable[roulette(rng, fitness)][0] for _ in range(3))
        genotype = uniform_crossover(rng, a.genotype, b.genotype, self.crossover_rate)
        return mutate(rng, self.space, genotype, self.mutation_rate), (a.id, b.id), (alpha.id,)
