"""Replay: one member trained along a schedule, as it was discovered by an earlier run or written down.

What population based training finds is a schedule and not one setting (Jaderberg et al. 2017, arXiv:1711.09846): the
hyperparameters along the lineage of its best member. Trained along it from the beginning, with another seed or more
ranks to a group, a network shows what the schedule is worth by itself. Ray Tune has the same in its class
``PopulationBasedTrainingReplay``.

    for each segment of the schedule, in order:
        train segment.budget with segment.genotype, from the weights of the segment before (the first: fresh)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from nestedga.errors import SettingError
from nestedga.population.member import Evaluation, Genotype, Member
from nestedga.search.base import Asynchronous, Birth


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a schedule: one interval.

    Attributes:
        genotype: settings that hold throughout.
        budget: its length; None: the usual one.
    """

    genotype: Genotype
    budget: int | None = None


@dataclass(eq=False, kw_only=True)
class Replay(Asynchronous):
    """Trains one member segment by segment; ends early where one fails, for nothing is left to go on from.

    Its result is the network at the end, however good it looked on the way.

    Attributes:
        schedule: the segments, one or more.
    """

    multi_objective: ClassVar[bool] = True
    last_counts: ClassVar[bool] = True

    schedule: Sequence[Segment]
    population_size: int = field(init=False, default=1)
    inherit: str = field(init=False, default="weights")
    generations: int = field(init=False, default=1)
    evaluations: int | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.length = len(self.schedule)

    def adopt(self, member: Member) -> None:
        if member.id < len(self.schedule) and member.genotype != self.schedule[member.id].genotype:
            raise SettingError(
                f"search.schedule has changed since this run began: interval {member.id} was {member.genotype} and is "
                f"{self.schedule[member.id].genotype}; begin a new run"
            )
        super().adopt(member)

    def needed(self) -> set[int]:
        waits_for_the_next = 0 < self._next_id < self.length and not self._asked
        return {self._next_id - 1} if waits_for_the_next else set()

    def _birth(self, rng: np.random.Generator, member_id: int) -> Birth | None:
        if self._asked:
            return None  # its weights come first
        segment = self.schedule[member_id]
        parents = (member_id - 1,) if member_id > 0 else ()
        return Birth(segment.genotype, weights_parents=parents, generation=member_id, budget=segment.budget)

    def _learn(self, member: Member, evaluation: Evaluation) -> None:
        if not evaluation.ok:
            self.length = self._next_id
