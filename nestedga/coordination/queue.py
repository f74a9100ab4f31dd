"""Members that were asked and wait for a group, and for which group each is meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from nestedga.population.member import Member


class Candidate(NamedTuple):
    """A member that waits, and the group that it is earmarked for, if any."""

    member: Member
    group: int | None


class Queue:
    """Members wait in the order in which they came.

    A member that is earmarked for a busy group will probably be its next; but whoever is idle first may have it, when
    nobody else waits.

    Args:
        promise: where given, the smallest comes first instead.
    """

    def __init__(self, promise: Callable[[Member], float] | None) -> None:
        self._promise = promise
        self._free: dict[int, Member] = {}  # by id
        self._earmarked: dict[int, Member] = {}  # by group
        self._unmarked: set[int] = set()  # busy groups for which nobody is earmarked

    def __len__(self) -> int:
        return len(self._free) + len(self._earmarked)

    def __iter__(self) -> Iterator[Member]:
        yield from self._free.values()
        yield from self._earmarked.values()

    def add(self, members: Iterable[Member]) -> None:
        self._free.update((member.id, member) for member in members)
        if self._promise is not None:
            self._free = {member.id: member for member in sorted(self._free.values(), key=self._promise)}

    def put_back(self, member: Member) -> None:
        """A member that was handed out waits again, before all others of its promise."""
        self._free = {member.id: member, **self._free}
        self.add(())

    def candidates(self, idle: Iterable[int]) -> Iterator[Candidate]:
        """Who may be handed out, in turn: those earmarked for groups that are idle now, the free, all others."""
        if self._earmarked:
            for group in [group for group in idle if group in self._earmarked]:
                yield Candidate(self._earmarked[group], group)
        yield from (Candidate(member, None) for member in self._free.values())
        yield from (Candidate(member, group) for group, member in self._earmarked.items())

    def take(self, candidate: Candidate) -> None:
        """A member is handed out; a busy group that it was meant for may have another."""
        if candidate.group is None:
            del self._free[candidate.member.id]
        else:
            del self._earmarked[candidate.group]
            self._unmarked.add(candidate.group)

    def add_busy(self, group: int) -> None:
        """A group has something to do, and may have somebody earmarked."""
        if group not in self._earmarked:
            self._unmarked.add(group)

    def discard_busy(self, group: int) -> None:
        """A group is idle, and gets its next member at once."""
        self._unmarked.discard(group)

    def earmark(self) -> Iterator[tuple[int, Member]]:
        """Gives busy groups somebody each, as far as there are any."""
        while self._free and self._unmarked:
            group, member = self._unmarked.pop(), self._free.pop(next(iter(self._free)))
            self._earmarked[group] = member
            yield group, member
