"""The genetic algorithm with weights that Cray published, and what the field has added since.

Vose et al. 2019, "Recombination of Artificial Neural Networks" (arXiv:1901.03900). A child has three parents, each
drawn in proportion to fitness: a and b give the genes, alpha gives the weights.

    fitness_i   = exp(-sigma * ((fom_i - min) / (max - min)) ** 2)
    a, b, alpha ~ fitness
    genes       = mutate(crossover(a, b))
    weights     = alpha's

With demes, each breeds from its own members, and its best go on as elites. Every ``migration_interval`` generations
the best of one deme stand among the parents of the next in the place of the worst there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nestedga.population.member import Evaluation, Member
from nestedga.search.base import Birth, Generational, rng_for
from nestedga.search.base.ranking import ranked, scores
from nestedga.search.evolution.breeding import Breeding
from nestedga.search.evolution.operators import (
    gaussian_fitness,
    linear_rank_fitness,
    roulette,
    tournament,
    truncation_fitness,
)

SELECTIONS = ("roulette", "tournament", "truncation", "rank")
MIGRATION = 1  # what a draw beside those of members is for: the third number of its generator

Viable = tuple[Member, Evaluation]
_Pool = tuple[list[Member], Callable[[np.random.Generator], int]]  # best first, and how a parent is drawn


@dataclass(eq=False, kw_only=True)
class Genetic(Breeding, Generational):
    """Generational genetic algorithm over genes and weights.

    Attributes:
        selection: ``roulette`` on fitness (as published), ``tournament``, ``truncation`` or linear ``rank``.
        sigma: pressure of roulette, 0 or more; never published, the default is ours (docs/benchmarks.md has the
            measurement).
        tournament: how many compete in a tournament, 1 or more; 2 is the usual one (Goldberg and Deb 1991).
        truncation: fraction of the best that truncation draws from, above 0, at most 1; 0.5 is the upper end of what
            Mühlenbein and Schlierkamp-Voosen 1993 use.
        rank_pressure: how much likelier than the median rank draws the best, from 1 to 2; 1.5 is the bias of
            Whitley's GENITOR (1989).
        elites: how many of the best of each deme go on unchanged in the next generation, with their own weights; 0 as
            published.
        migration_interval: generations between migrations, 1 or more; ours.
        migration_size: how many of a deme's best emigrate; ours.
    """

    multi_objective: ClassVar[bool] = True
    takes_immigrants: ClassVar[bool] = True

    selection: str = "roulette"
    sigma: float = 8.0
    tournament: int = 2
    truncation: float = 0.5
    rank_pressure: float = 1.5
    elites: int = 0
    migration_interval: int = 5
    migration_size: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_known("selection", SELECTIONS)
        self.check(self.sigma >= 0.0, "sigma", "would favour the worst; use 0 (no selection) or more")
        self.check(self.tournament >= 1, "tournament", "draws nobody; use 1 (no selection) or more")
        self.check(0.0 < self.truncation <= 1.0, "truncation", "is no fraction; use above 0, and 1 or less")
        self.check(1.0 <= self.rank_pressure <= 2.0, "rank_pressure", "must be from 1 (no selection) to 2")
        smallest = self.population_size // self.demes
        most = smallest - 1
        self.check(
            0 <= self.elites <= most, "elites", f"must be from 0 to {most}: some of a deme of {smallest} must breed"
        )
        self.check(self.migration_interval >= 1, "migration_interval", "must be 1 or more")
        if self.demes > 1:
            at_home = f"must be from 0 to {most}: some of a deme of {smallest} must remain"
            self.check(0 <= self.migration_size <= most, "migration_size", at_home)
        self._pools: list[_Pool] = []  # whom each deme breeds from; empty where nobody has survived

    def _founder(self, rng: np.random.Generator, slot: int) -> Birth:
        return self._newcomer(rng, self._generation * self.population_size + slot)

    def _child(self, rng: np.random.Generator, slot: int, viable: Sequence[Viable]) -> Birth:
        deme = self._demes.of(slot)
        members, draw = self._pools[deme]
        place = slot - self._demes.slots(deme).start
        if place < min(self.elites, len(members)):
            elite = members[place]
            return Birth(elite.genotype, (elite.id,), (elite.id,))
        a, b, alpha = (members[draw(rng)] for _ in range(3))
        return self._child_of(rng, a, b, alpha, self._generation / (self.generations - 1))

    def _turned(self) -> None:
        viable = self._viable
        natives: list[list[Viable]] = [[] for _ in range(self.demes)]
        for member, evaluation in viable:
            natives[self._demes.of(member.slot)].append((member, evaluation))
        parents = [home or viable for home in natives]  # a deme in which nobody survived is settled from everywhere
        if self.demes > 1 and self._generation % self.migration_interval == 0:
            parents = self._migrated(parents)
        self._pools = [self._pool(home) for home in parents if home]

    def _migrated(self, homes: list[list[Viable]]) -> list[list[Viable]]:
        """Every deme with its migrants in the place of its worst, failed ones counted as the worst."""
        rng = rng_for(self.seed, self._generation, MIGRATION)
        mixed = []
        for deme, home in enumerate(homes):
            migrants = homes[self._demes.source(rng, deme)][: self.migration_size]
            ids = {member.id for member, _ in migrants}
            room = len(self._demes.slots(deme)) - len(migrants)
            mixed.append([pair for pair in home if pair[0].id not in ids][:room] + migrants)
        return mixed

    def _pool(self, home: list[Viable]) -> _Pool:
        by_id = {member.id: member for member, _ in home}
        order = ranked(evaluation for _, evaluation in home)
        return [by_id[evaluation.member_id] for evaluation in order], self._selector(scores(order))

    def _selector(self, scores: NDArray[np.float64]) -> Callable[[np.random.Generator], int]:
        """Draws the index of a parent."""
        match self.selection:
            case "tournament":
                return partial(tournament, scores=scores, size=self.tournament)
            case "truncation":
                fitness = truncation_fitness(scores, self.truncation)
            case "rank":
                fitness = linear_rank_fitness(scores, self.rank_pressure)
            case _:
                fitness = gaussian_fitness(scores, self.sigma)
        return partial(roulette, fitness=fitness)
