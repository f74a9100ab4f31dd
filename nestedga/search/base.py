"""What every search promises, and the little that all of them share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from nestedga.errors import SettingError
from nestedga.member import Evaluation, Genotype, Member
from nestedga.space import Space


class Search(Protocol):
    """Decides which members come next. A search is a function of its history.

    Every draw is keyed by (seed, member id), so there is no random state to save: after ``adopt`` and ``tell`` of a
    journal, ``ask`` answers as if never interrupted. FoMs told to a search are always minimised.
    """

    @property
    def done(self) -> bool:
        """True when everything was asked and told."""
        ...

    @property
    def num_evaluations(self) -> int | None:
        """How many evaluations the whole search makes, where it is known."""
        ...

    def ask(self, n: int) -> list[Member]:
        """At most n new members; ``[]`` means: nothing until somebody tells me more."""
        ...

    def tell(self, evaluation: Evaluation) -> None:
        """Hands in a member's evaluation, in any order.

        Raises:
            ValueError: the member was never asked, or was told before.
        """
        ...

    def adopt(self, member: Member) -> None:
        """From the journal: this member was asked; compute nothing."""
        ...

    def needed(self) -> set[int]:
        """Members whose weights the search may still want for children."""
        ...


def rng_for(seed: int, member_id: int) -> np.random.Generator:
    """The generator of all draws that make one member."""
    return np.random.default_rng([seed, member_id])


class Generational:
    """The bookkeeping of searches that breed generation by generation; the barrier lives here.

    Member ``id = generation * population_size + slot``. While a generation is out, ``ask`` answers ``[]``. A subclass
    gives ``_founder`` and ``_child``; both must be functions of their arguments alone, so that a generation may be
    asked piece by piece, by any number of groups, before and after a restart.
    """

    def __init__(
        self, space: Space, *, seed: int, population_size: int, generations: int, budget: int, inherit: str
    ) -> None:
        if population_size < 2:
            raise SettingError(f"search.population_size={population_size} leaves nobody to breed with; use 2 or more")
        if generations < 1:
            raise SettingError(f"search.generations={generations} evaluates nobody; use 1 or more")
        if inherit not in ("weights", "none"):
            raise SettingError(f"search.inherit={inherit!r} is unknown; use weights or none")
        if not len(space):
            raise SettingError("space={} has no gene to search; name at least one, as in space=sgd")
        self.space = space
        self.seed = seed
        self.population_size = population_size
        self.generations = generations
        self.budget = budget
        self.inherit = inherit
        self._generation = 0
        self._asked: dict[int, Member] = {}  # of the current generation, by id
        self._told: dict[int, Evaluation] = {}  # of the current generation, by id
        self._ranked: list[tuple[Member, Evaluation]] = []  # of the previous generation, best first
        self._unborn: dict[int, Member] | None = None  # bred and not asked yet, by id; None: not bred yet

    @property
    def done(self) -> bool:
        return self._generation == self.generations

    @property
    def num_evaluations(self) -> int:
        return self.population_size * self.generations

    def ask(self, n: int) -> list[Member]:
        members = list(self._breed().values())[:n]
        for member in members:
            self.adopt(member)
        return members

    def adopt(self, member: Member) -> None:
        if self.done or member.id // self.population_size != self._generation or member.id in self._asked:
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
        if len(self._told) == self.population_size:
            # Sorted by value, never by arrival: the same children for any number of groups.
            order = sorted(self._told.values(), key=lambda e: (not e.ok, e.fom if e.ok else 0.0, e.member_id))
            self._ranked = [(self._asked[e.member_id], e) for e in order]
            self._generation += 1
            self._asked, self._told, self._unborn = {}, {}, None

    def needed(self) -> set[int]:
        if self.inherit == "none" or self.done:
            return set()
        # Children are functions of the ranking, so it is known which parents the rest of a generation draws.
        parents = {parent for member in self._breed().values() for parent in member.weights_parents}
        if self._generation + 1 == self.generations:
            return parents
        return parents | {member_id for member_id, evaluation in self._told.items() if evaluation.ok}

    def _breed(self) -> dict[int, Member]:
        """The members of this generation that were not asked yet, by id."""
        if self._unborn is None:
            first = self._generation * self.population_size
            ids = range(first, first + self.population_size) if not self.done else ()
            self._unborn = {i: self._make(i) for i in ids if i not in self._asked}
        return self._unborn

    def _make(self, member_id: int) -> Member:
        rng = rng_for(self.seed, member_id)
        generation, slot = divmod(member_id, self.population_size)
        viable = [(member, evaluation) for member, evaluation in self._ranked if evaluation.ok]
        if viable:
            genotype, hyper_parents, weights_parents = self._child(rng, slot, viable)
        else:  # the first generation, or one of which nobody survived
            genotype, hyper_parents, weights_parents = self.space.sample(rng), (), ()
        return Member(
            id=member_id,
            slot=slot,
            generation=generation,
            genotype=genotype,
            hyper_parents=hyper_parents,
            weights_parents=weights_parents if self.inherit == "weights" else (),
            budget=self.budget,
        )

    def _child(
        self, rng: np.random.Generator, slot: int, viable: Sequence[tuple[Member, Evaluation]]
    ) -> tuple[Genotype, tuple[int, ...], tuple[int, ...]]:
        """Breeds the child for one slot: (genotype, hyper_parents, weights_parents).

        Args:
            rng: the child's own generator.
            slot: the child's seat.
            viable: members of the previous generation with a FoM, best first; at least one.
        """
        raise NotImplementedError
