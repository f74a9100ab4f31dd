"""The groups of a job: whose ranks they are, which are idle, and which suits an order."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from nestedga.protocol.layout import Layout

Ranks = tuple[int, ...]


class Groups:
    """Groups by number, which is the id of their leader's rank.

    Args:
        layout: the groups at first; each is idle once it says so.
        nodes: the node of each rank, by its id; None: all are on one.

    Attributes:
        nodes: the node of each rank, by its id.
        num_idle: groups.
        num_idle_ranks: of these groups, together.
    """

    def __init__(self, layout: Layout, nodes: Mapping[int, int] | None = None) -> None:
        self.num_idle = self.num_idle_ranks = 0
        self.nodes = dict.fromkeys(itertools.chain(*layout.groups), 0) if nodes is None else nodes
        self._ranks = {ranks[0]: ranks for ranks in layout.groups}
        self._idle: dict[int, dict[int, set[int]]] = {}  # by size and node
        self._forming = set(layout.leaders)
        self._num_dissolving = 0

    def __len__(self) -> int:
        return len(self._ranks)

    def __contains__(self, leader: int) -> bool:
        return leader in self._ranks

    @property
    def idle(self) -> Iterable[int]:
        return (group for nodes in self._idle.values() for groups in nodes.values() for group in groups)

    @property
    def sizes(self) -> dict[int, int]:
        return {group: len(ranks) for group, ranks in self._ranks.items()}

    @property
    def differ(self) -> bool:
        """Whether some have more ranks than others."""
        return len({len(ranks) for ranks in self._ranks.values()}) > 1

    @property
    def forming(self) -> bool:
        """Whether some of the groups are not ready yet, or of the former ones not gone yet."""
        return bool(self._forming or self._num_dissolving)

    def is_idle(self, group: int) -> bool:
        nodes = self._idle.get(len(self._ranks[group]), {})
        return group in nodes.get(self.nodes[group], ())

    def add_idle(self, group: int) -> None:
        size = len(self._ranks[group])
        self._idle.setdefault(size, {}).setdefault(self.nodes[group], set()).add(group)
        self.num_idle += 1
        self.num_idle_ranks += size

    def take(self, group: int) -> None:
        """It is idle no more."""
        size, node = len(self._ranks[group]), self.nodes[group]
        self._idle[size][node].remove(group)
        if not self._idle[size][node]:
            del self._idle[size][node]
        if not self._idle[size]:
            del self._idle[size]
        self.num_idle -= 1
        self.num_idle_ranks -= size

    def nearest(self, holders: Iterable[int]) -> int:
        """Of the largest idle groups the one that suits best: a holder, else one on a holder's node, else any."""
        by_node = self._idle[max(self._idle)]
        near = None
        for holder in holders:
            groups = by_node.get(self.nodes[holder])
            if groups and holder in groups:
                return holder
            near = near or groups
        return next(iter(near or next(iter(by_node.values()))))

    # Other groups of the same ranks

    @property
    def idle_sizes(self) -> tuple[int, ...]:
        """Sizes of the idle groups, largest first."""
        return tuple(sorted((len(self._ranks[group]) for group in self.idle), reverse=True))

    def reform(self, sizes: Iterable[int]) -> dict[int, tuple[Ranks, ...]]:
        """Makes groups of these sizes of all idle ranks; groups that fit already stay.

        Gives for each group that is dissolved the new groups that take its ranks, each with its leader first.
        """
        wanted, dissolved = Counter(sizes), []
        for group in sorted(self.idle):
            if wanted[len(self._ranks[group])]:
                wanted[len(self._ranks[group])] -= 1
            else:
                dissolved.append(group)
        old = {group: self._ranks[group] for group in dissolved}
        for group in dissolved:
            self.take(group)
            del self._ranks[group]
        free = self._by_node(rank for ranks in old.values() for rank in ranks)
        new_of: dict[int, Ranks] = {}
        for size in sorted(wanted.elements(), reverse=True):
            formed = tuple(itertools.islice(free, size))
            assert len(formed) == size, "sizes must sum to the idle ranks"
            new_of.update(dict.fromkeys(formed, formed))
            self._ranks[formed[0]] = formed
            self._forming.add(formed[0])
        self._num_dissolving += len(dissolved)
        return {group: tuple(dict.fromkeys(new_of[rank] for rank in ranks)) for group, ranks in old.items()}

    def _by_node(self, ranks: Iterable[int]) -> Iterator[int]:
        """Those of the node with most of them first, so that large groups, formed first, stay on few nodes."""
        ranks = list(ranks)
        num_of = Counter(self.nodes[rank] for rank in ranks)
        return iter(sorted(ranks, key=lambda rank: (-num_of[self.nodes[rank]], self.nodes[rank], rank)))

    def add_ready(self, group: int) -> None:
        """A group is idle for the first time."""
        self.add_idle(group)
        self._forming.discard(group)

    def dissolved(self) -> bool:
        """A group has said its last word; True when all that were to go have."""
        self._num_dissolving -= 1
        return self._num_dissolving == 0
