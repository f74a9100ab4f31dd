"""Evolution without generations: whoever asks gets a child of those alive.

With ``replace=oldest`` and ``crossover=none`` this is aging evolution: Real et al. 2019, "Regularized Evolution for
Image Classifier Architecture Search" (arXiv:1802.01548), Algorithm 1. With ``replace=worst`` it is the steady-state
genetic algorithm, (mu + 1): Syswerda 1991, "A Study of Reproduction in Generational and Steady-State Genetic
Algorithms" (doi:10.1016/B978-0-08-050684-5.50009-4).

    while fewer than a tournament are alive: a fresh member
    a, b    = winners of two tournaments among the living; a is the better
    genes   = mutate(crossover(a, b))
    weights = a's, or of a and b combined
    when the child comes in, it joins the living; if they are too many, the oldest or the worst dies
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nestedga.population.member import Evaluation, Member
from nestedga.search.base import Asynchronous, Birth
from nestedga.search.base.ranking import scores
from nestedga.search.evolution.breeding import Breeding
from nestedga.search.evolution.operators import tournament


@dataclass(eq=False, kw_only=True)
class SteadyState(Breeding, Asynchronous):
    """Asynchronous evolution over genes and weights.

    A member's slot is ``id mod population_size``: in aging evolution, while all goes in turn, the slot of the one that
    dies for it. ``population_size`` is how many live at most.

    Attributes:
        tournament: how many compete to be a parent, drawn with repetition, 1 or more; of the 20 that conf/ gives it,
            5 are the quarter that Real et al. 2019 draw (25 of 100).
        replace: who makes room, ``oldest`` (aging evolution) or ``worst``.
        migration_rate: probability that a parent comes from another deme, in [0, 1]; ours.
    """

    multi_objective: ClassVar[bool] = True
    takes_immigrants: ClassVar[bool] = True

    tournament: int = 5
    replace: str = "oldest"
    migration_rate: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(self.tournament >= 1, "tournament", "draws nobody; use 1 (no selection) or more")
        self._check_known("replace", ("oldest", "worst"))
        self._check_probability("migration_rate")
        enough = f"fills no population of {self.population_size}; use that many or more, or a smaller population_size"
        self.check(self.length >= self.population_size, "evaluations", enough)
        self._living = [Living() for _ in range(self.demes)]

    def immigrate(self, member: Member, evaluation: Evaluation) -> None:
        """It joins the living of its slot's deme."""
        self._learn(member, evaluation)

    def needed(self) -> set[int]:
        if self.inherit == "none" or self._next_id == self.length:
            return set()
        return {member.id for living in self._living for member, _ in living.entries}

    def _birth(self, rng: np.random.Generator, member_id: int) -> Birth:
        deme = self._demes.of(member_id % self.population_size)
        enough = min(self.tournament, len(self._demes.slots(deme)))
        if member_id < self.population_size or len(self._living[deme].entries) < enough:
            return self._newcomer(rng, member_id)
        if self.crossover == "none":
            _, a = self._parent(rng, deme)
            b = a
        else:
            (_, a), (_, b) = sorted((self._parent(rng, deme), self._parent(rng, deme)), key=lambda parent: parent[0])
        return self._child_of(rng, a, b, a, member_id / (self.length - 1))

    def _parent(self, rng: np.random.Generator, deme: int) -> tuple[float, Member]:
        """The winner of a tournament, and its score."""
        if self.demes > 1 and rng.random() < self.migration_rate:
            source = self._demes.source(rng, deme)
            deme = source if self._living[source].entries else deme
        scores = self._living[deme].scores
        winner = tournament(rng, scores, self.tournament)
        return float(scores[winner]), self._living[deme].entries[winner][0]

    def _learn(self, member: Member, evaluation: Evaluation) -> None:
        if not evaluation.ok:
            return
        deme = self._demes.of(member.slot)
        living = self._living[deme]
        living.add(member, evaluation)
        if len(living.entries) > len(self._demes.slots(deme)):
            # Of equally bad ones the oldest goes, so that what is no better still brings something new.
            living.remove(0 if self.replace == "oldest" else int(np.argmax(living.scores)))


class Living:
    """The living members of a deme, oldest first, and their scores, of which the smaller is the better."""

    def __init__(self) -> None:
        self.entries: list[tuple[Member, Evaluation]] = []
        self._foms: list[float] = []
        self._ranked: NDArray[np.float64] | None = None  # by several objectives, where nobody has come or gone since

    def add(self, member: Member, evaluation: Evaluation) -> None:
        self.entries.append((member, evaluation))
        self._foms.append(evaluation.fom)
        self._ranked = None

    def remove(self, place: int) -> None:
        del self.entries[place], self._foms[place]
        self._ranked = None

    @property
    def scores(self) -> Sequence[float] | NDArray[np.float64]:
        """By place. With one objective they are at hand, so that large populations cost no more than small ones."""
        if not self.entries[0][1].objectives:
            return self._foms
        if self._ranked is None:
            self._ranked = scores([evaluation for _, evaluation in self.entries])
        return self._ranked
