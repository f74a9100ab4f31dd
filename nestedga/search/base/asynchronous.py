"""The bookkeeping of searches without a barrier."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from nestedga.population.keys import rng_for
from nestedga.population.member import Evaluation, Member
from nestedga.search.base.bookkeeping import Birth, Bookkeeping


@dataclass(eq=False, kw_only=True)
class Asynchronous(Bookkeeping):
    """The bookkeeping of searches without a barrier: whoever asks gets a member at once, made from what is known.

    Ids count up in the order of asking. A subclass gives ``_birth`` and, where it learns, ``_learn``.

    Attributes:
        generations: so many times ``population_size`` evaluations: how long a search of either kind is, is said alike.
        evaluations: how many, failed ones counted; takes the place of ``generations``.
        length: how many it comes to.
        prefetch: how many members for each busy group may be asked for ahead, 0 or more: each then knows as many
            evaluations less per group, but neither its making nor the fetching of its weights is ever waited for.
    """

    prefetch: int = 0
    generations: int = 10
    evaluations: int | None = None
    length: int = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(self.population_size >= 1, "population_size", "must be 1 or more")
        self.check(self.generations >= 1, "generations", "evaluates nobody; use 1 or more")
        self.check(self.prefetch >= 0, "prefetch", "must be 0 or more")
        self.length = self.population_size * self.generations if self.evaluations is None else self.evaluations
        self.evaluations = self.length  # which complaints name
        self.check(self.length >= 1, "evaluations", "evaluates nobody; use 1 or more")
        self._asked: dict[int, Member] = {}  # out, by id, in the order of asking
        self._next_id = 0

    @property
    def done(self) -> bool:
        return self._next_id == self.length and not self._asked

    @property
    def num_evaluations(self) -> int | None:
        return self.length

    def ask(self, n: int) -> list[Member]:
        members: list[Member] = []
        while len(members) < n and self._next_id < self.length:
            birth = self._birth(rng_for(self.seed, self._next_id), self._next_id)
            if birth is None:
                break
            members.append(self._member(self._next_id, birth))
            self.adopt(members[-1])
        return members

    def adopt(self, member: Member) -> None:
        if member.id != self._next_id:
            raise ValueError(f"member {member.id} cannot be asked; the next is {self._next_id}")
        self._next_id += 1
        self._asked[member.id] = member

    def tell(self, evaluation: Evaluation) -> None:
        member = self._asked.pop(evaluation.member_id, None)
        if member is None:
            was = "told before" if 0 <= evaluation.member_id < self._next_id else "never asked"
            raise ValueError(f"member {evaluation.member_id} was {was}")
        self._learn(member, evaluation)

    def needed(self) -> set[int]:
        return set()

    def _birth(self, rng: np.random.Generator, member_id: int) -> Birth | None:
        """Makes the next member; None: not before somebody tells me more, which needs a member in flight.

        Args:
            rng: the member's own generator.
            member_id: its id.
        """
        raise NotImplementedError

    def _learn(self, member: Member, evaluation: Evaluation) -> None:
        """Takes in an evaluation, also a failed one."""
