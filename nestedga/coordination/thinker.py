"""Where a search thinks: it is asked by numbered requests and answers when it can, here at once, elsewhere later."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

from nestedga.population.member import Evaluation, Member
from nestedga.search.base import Search


@dataclass(frozen=True, slots=True)
class Answer:
    """What a search answers to a request.

    Attributes:
        number: of the request.
        members: new ones, in order; none: nothing until somebody tells it more, or it is done.
    """

    number: int
    members: tuple[Member, ...]


class Thinker(Protocol):
    """A search that is asked without being waited for. What is said to it reaches it in the order in which it is said.

    So its members are those of a search that was told, before each request, just what had been said until then.
    """

    @property
    def prefetch(self) -> int:
        """How many members for each busy group may be asked for ahead."""
        ...

    @property
    def done(self) -> bool:
        """Whether everything was asked and told; True at the latest with an answer to what was requested after."""
        ...

    def request(self, n: int) -> int:
        """Asks for at most n new members; with n = 0 for none, so that ``done`` and ``needed`` are up to date.

        Only one request may be out.

        Returns:
            The request's number.
        """
        ...

    def poll(self) -> Answer | None:
        """The answer to the request that is out; None: it still thinks.

        Raises:
            RuntimeError: it has ended or failed, or thinks for too long.
        """
        ...

    def tell(self, evaluation: Evaluation) -> None:
        """As ``Search.tell``."""
        ...

    def immigrate(self, member: Member, evaluation: Evaluation) -> None:
        """As ``Search.immigrate``."""
        ...

    def adopt(self, member: Member) -> None:
        """As ``Search.adopt``."""
        ...

    def needed(self) -> AbstractSet[int]:
        """Members whose weights the search may still want for children; some too many, never one too few."""
        ...

    def close(self) -> None:
        """Nothing more is asked; ends what it has started."""
        ...


class LocalThinker:
    """A search in this process: each answer is there at once.

    Args:
        search: which thinks here.
    """

    def __init__(self, search: Search) -> None:
        self.prefetch = search.prefetch
        # A search's own methods, for they are called for each evaluation.
        self.tell, self.immigrate, self.adopt, self.needed = search.tell, search.immigrate, search.adopt, search.needed
        self._search = search
        self._number = 0
        self._n = 0

    @property
    def done(self) -> bool:
        return self._search.done

    def request(self, n: int) -> int:
        self._number += 1
        self._n = n
        return self._number

    def poll(self) -> Answer | None:
        return Answer(self._number, tuple(self._search.ask(self._n)) if self._n else ())

    def close(self) -> None:
        """There is nothing to end."""


class Needed:
    """What a search may still want that isn't at hand: what its last answer said, and all it was told after."""

    def __init__(self) -> None:
        self._answered: AbstractSet[int] = frozenset()
        self._told: list[int] = []  # since the request that was answered last
        self._num_before = 0  # of these, told before the request that is out

    def tell(self, member_id: int) -> None:
        """A member was told, and may turn out to be a parent."""
        self._told.append(member_id)

    def request(self) -> None:
        """The answer to come knows all that was told until now."""
        self._num_before = len(self._told)

    def answer(self, needed: AbstractSet[int]) -> None:
        """The answer has come."""
        self._answered = needed
        del self._told[: self._num_before]

    def __call__(self) -> AbstractSet[int]:
        return self._answered | set(self._told)
