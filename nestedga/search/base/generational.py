"""The bookkeeping of searches that breed generation by generation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import ClassVar

import numpy as np

from nestedga.population.keys import rng_for
from nestedga.population.member import Evaluation, Member
from nestedga.search.base.bookkeeping import Birth, Bookkeeping
from nestedga.search.base.ranking import ranked


@dataclass(eq=False, kw_only=True)
class Generational(Bookkeeping):
    """The bookkeeping of searches that breed generation by generation; the barrier lives here.

    Member ``id = (generation * intervals + interval) * population_size + slot``. A further interval of an individual
    is a member of its own, with the genes and weights of the one before; it waits for nobody else, and whoever failed
    gets none. While a generation is out, ``ask`` answers ``[]``. A subclass gives ``_founder`` and ``_child``; both
    must be functions of the generations told whole, so that a generation may be asked piece by piece, by any number of
    groups, before and after a restart.

    Attributes:
        generations: how many, the first one counted.
        intervals: how many an individual trains before it is judged, 1 or more; with ``inherit`` none, where nobody
            goes on with weights, one interval as long as all of them.
    """

    generational: ClassVar[bool] = True
    prefetch: ClassVar[int] = 1  # it costs no knowledge: a generation is known when the last one is in

    generations: int = 10
    intervals: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(self.population_size >= 2, "population_size", "leaves nobody to breed with; use 2 or more")
        self.check(self.generations >= 1, "generations", "evaluates nobody; use 1 or more")
        self.check(self.intervals >= 1, "intervals", "trains nobody; use 1 or more")
        self._num_intervals = self.intervals if self.inherit == "weights" else 1
        self._num_skipped = 0  # intervals of individuals that failed before
        self._generation = 0
        self._asked: dict[int, Member] = {}  # of the current generation, by id
        self._told: dict[int, Evaluation] = {}  # of the current generation, by id
        self._judged: list[Evaluation] = []  # each individual's last one of the current generation
        self._immigrants: list[tuple[Member, Evaluation]] = []  # into the current generation
        self._ranked: list[tuple[Member, Evaluation]] = []  # of the previous generation, best first
        self._unborn: dict[int, Member] | None = None  # bred and not asked yet, by id; None: not bred yet

    @property
    def done(self) -> bool:
        return self._generation == self.generations

    @property
    def num_evaluations(self) -> int:
        return self.population_size * self.generations * self._num_intervals - self._num_skipped

    def ask(self, n: int) -> list[Member]:
        members = list(islice(self._breed().values(), n))
        for member in members:
            self.adopt(member)
        return members

    def adopt(self, member: Member) -> None:
        generation = member.id // (self.population_size * self._num_intervals)
        if self.done or generation != self._generation or member.id in self._asked:
            raise ValueError(f"member {member.id} cannot be asked in generation {self._generation}")
        self._asked[member.id] = member
        if self._unborn:
            self._unborn.pop(member.id, None)

    def tell(self, evaluation: Evaluation) -> None:
        member_id = evaluation.member_id
        if member_id not in self._asked:
            raise ValueError(f"member {member_id} was never asked")
        if member_id in self._told:
            raise ValueError(f"member {member_id} was told before")
        self._told[member_id] = evaluation
        further = self._further(evaluation)
        if further is None:
            self._judged.append(evaluation)
            self._num_skipped += self._num_intervals - 1 - self._interval(member_id)
        elif self._unborn is not None:
            self._unborn[further.id] = further
        if len(self._judged) == self.population_size:
            # Sorted by value, never by arrival: the same children for any number of groups.
            arrived = {member.id: member for member, _ in self._immigrants}
            everybody = ranked([*self._judged, *(evaluation for _, evaluation in self._immigrants)])
            self._ranked = [(arrived.get(e.member_id) or self._asked[e.member_id], e) for e in everybody]
            self._generation += 1
            self._asked, self._told, self._judged, self._immigrants, self._unborn = {}, {}, [], [], None
            self._turned()

    def immigrate(self, member: Member, evaluation: Evaluation) -> None:
        """It stands in the ranking of the generation that is out."""
        self._immigrants.append((member, evaluation))

    def needed(self) -> set[int]:
        if self.inherit == "none" or self.done:
            return set()
        # Children are functions of the ranking, so it is known which parents the rest of a generation draws.
        parents = {parent for member in self._breed().values() for parent in member.weights_parents}
        if self._generation + 1 == self.generations:
            return parents
        arrived = {member.id for member, _ in self._immigrants}
        return parents | arrived | {evaluation.member_id for evaluation in self._judged if evaluation.ok}

    def _breed(self) -> dict[int, Member]:
        """The members of this generation that were not asked yet, by id."""
        if self._unborn is None:
            first = self._generation * self._num_intervals * self.population_size
            ids = range(first, first + self.population_size) if not self.done else ()
            viable = self._viable
            self._unborn = {i: self._make(i, viable) for i in ids if i not in self._asked}
            for evaluation in self._told.values():
                further = self._further(evaluation)
                if further is not None and further.id not in self._asked:
                    self._unborn[further.id] = further
        return self._unborn

    @property
    def _viable(self) -> list[tuple[Member, Evaluation]]:
        """The previous generation without those that failed, best first."""
        return [(member, evaluation) for member, evaluation in self._ranked if evaluation.ok]

    def _interval(self, member_id: int) -> int:
        return member_id // self.population_size % self._num_intervals

    def _further(self, evaluation: Evaluation) -> Member | None:
        """The next interval of the same individual; None where it has trained all of them or failed."""
        if not evaluation.ok or self._interval(evaluation.member_id) == self._num_intervals - 1:
            return None
        before = self._asked[evaluation.member_id]
        parents = (before.id,)
        birth = Birth(before.genotype, parents, parents, slot=before.slot, generation=before.generation)
        return self._member(before.id + self.population_size, birth)

    def _make(self, member_id: int, viable: Sequence[tuple[Member, Evaluation]]) -> Member:
        rng = rng_for(self.seed, member_id)
        slot, generation = member_id % self.population_size, self._generation
        # The first generation, or one of which nobody survived, begins afresh.
        birth = self._child(rng, slot, viable) if viable else self._founder(rng, slot)
        # From scratch, all intervals are trained in one piece.
        budget = birth.budget or self.budget * self.intervals // self._num_intervals
        return self._member(member_id, replace(birth, slot=slot, generation=generation, budget=budget))

    def _founder(self, rng: np.random.Generator, slot: int) -> Birth:
        """A member without parents."""
        return Birth(self.space.sample(rng))

    def _child(self, rng: np.random.Generator, slot: int, viable: Sequence[tuple[Member, Evaluation]]) -> Birth:
        """Breeds the child for one slot.

        Args:
            rng: the child's own generator.
            slot: the child's place in the population.
            viable: members of the previous generation with a FoM, best first; at least one.
        """
        raise NotImplementedError

    def _turned(self) -> None:
        """A generation has come in whole; for algorithms that remember more than the last one."""
