"""What every search promises."""

from __future__ import annotations

from typing import Protocol

from nestedga.population.member import Evaluation, Member
from nestedga.population.space import Space


class Search(Protocol):
    """Decides which members come next. A search is a function of its history.

    Every draw is keyed by (seed, member id), so there is no random state to save: after ``adopt`` and ``tell`` of a
    journal, ``ask`` answers as if never interrupted. FoMs told to a search are always minimised.
    """

    @property
    def space(self) -> Space:
        """The genes of its members."""
        ...

    @property
    def population_size(self) -> int | None:
        """Slots of its population; None: it has none of its own, and every group counts as one."""
        ...

    @property
    def generational(self) -> bool:
        """Whether it breeds generation by generation, and nobody is asked of the next before one is told whole."""
        ...

    @property
    def multi_objective(self) -> bool:
        """Whether it can weigh several objectives against each other."""
        ...

    @property
    def num_objectives(self) -> int | None:
        """How many objectives it must be told; None: one, or where it is ``multi_objective`` any number."""
        ...

    @property
    def slow(self) -> bool:
        """Whether an ``ask`` may take so long that it belongs in a process of its own."""
        ...

    @property
    def prefetch(self) -> int:
        """How many members for each busy group may be asked for ahead, so that nothing is waited for later."""
        ...

    @property
    def takes_immigrants(self) -> bool:
        """Whether members of another search over the same space may join this one."""
        ...

    @property
    def last_counts(self) -> bool:
        """Whether its result is the last member that succeeded, and not the best: there was nothing to choose."""
        ...

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

    def immigrate(self, member: Member, evaluation: Evaluation) -> None:
        """Takes in another search's member; part of the history. Called only where ``takes_immigrants``.

        Args:
            member: without parents, for those are elsewhere; its id is negative and its slot the one it had there.
            evaluation: an OK one.
        """
        ...

    def needed(self) -> set[int]:
        """Members whose weights the search may still want for children, immigrants among them."""
        ...
