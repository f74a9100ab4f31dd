"""The groups of a job: whose ranks they are, which are idle, and which suits an order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nestedga.layout import Layout

Ranks = tuple[int, ...]


class Roster:
    """Groups by number, which is the world rank of their leader.

    Args:
        layout: the groups at first; each is idle once it says so.
        nodes: the node of each world rank.
    """

    def __init__(self, layout: Layout, nodes: Sequence[int]) -> None:
        self._nodes = nodes
        self._ranks = {ranks[0]: ranks for ranks in layout.groups}
        self._idle: dict[int, set[int]] = {}  # by node
        self._num_idle = 0
        self._forming: set[int] = set()
        self._num_dissolving = 0

    def __len__(self) -> int:
        return len(self._ranks)

    @property
    def num_idle(self) -> int:
        return self._num_idle

    @property
    def idle(self) -> Iterable[int]:
        return (group for groups in self._idle.values() for group in groups)

    @property
    def sizes(self) -> dict[int, int]:
        return {group: len(ranks) for group, ranks in self._ranks.items()}

    @property
    def forming(self) -> bool:
        """Whether groups were told to form and are not ready yet."""
        return bool(self._forming)

    def is_idle(self, group: int) -> bool:
        return group in self._idle.get(self._nodes[group], ())

    def add_idle(self, group: int) -> None:
        self._idle.setdefault(self._nodes[group], set()).add(group)
        self._num_idle += 1

    def take(self, group: int) -> None:
        """It is idle no more."""
        node = self._nodes[group]
        self._idle[node].remove(group)
        if not self._idle[node]:
            del self._idle[node]
        self._num_idle -= 1

    def nearest(self, holders: Iterable[int]) -> int:
        """The idle group that suits best: a holder, else one on a holder's node, else any."""
        near = None
        for holder in holders:
            if self.is_idle(holder):
                return holder
            near = near or self._idle.get(self._nodes[holder])
        return next(iter(near or next(iter(self._idle.values()))))

    def largest(self) -> int:
        """The idle group with most ranks, of equal ones the first."""
        return max(self.idle, key=lambda group: (len(self._ranks[group]), -group))

    # Other groups of the same ranks

    @property
    def idle_sizes(self) -> tuple[int, ...]:
        """Sizes of the idle groups, largest first."""
        return tuple(sorted((len(self._ranks[group]) for group in self.idle), reverse=True))

    def reform(self, sizes: Sequence[int]) -> dict[int, tuple[Ranks, ...]]:
        """Makes groups of these sizes of all idle ranks; groups that fit already stay.

        Gives for each group that is dissolved the new groups that take its ranks, each with its leader first.
        """
        wanted, dissolved = list(sizes), []
        for group in sorted(self.idle):
            if len(self._ranks[group]) in wanted:
                wanted.remove(len(self._ranks[group]))
            else:
                dissolved.append(group)
        free = sorted(rank for group in dissolved for rank in self._ranks[group])
        formed: list[Ranks] = []
        for size in wanted:
            formed.append(tuple(free[:size]))
            del free[:size]
        assert not free, "sizes must sum to the idle ranks"
        old = {}
        for group in dissolved:
            self.take(group)
            old[group] = set(self._ranks.pop(group))
        self._ranks.update({ranks[0]: ranks for ranks in formed})
        self._forming.update(ranks[0] for ranks in formed)
        self._num_dissolving += len(dissolved)
        return {group: tuple(new for new in formed if ranks & set(new)) for group, ranks in old.items()}

    def add_ready(self, group: int) -> None:
        """A group is idle for the first time."""
        self.add_idle(group)
        self._forming.discard(group)

    def dissolved(self) -> bool:
        """A group has said its last word; True when all that were to go have."""
        self._num_dissolving -= 1
        return self._num_dissolving == 0
