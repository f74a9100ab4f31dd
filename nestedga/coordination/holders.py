"""Who has which state, and who is asked for it: a much wanted state spreads like a tree, near ones first."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, KeysView, Mapping

MOST_SERVED = 2  # how often one leader sends the same state; every receiver becomes a source, so two are enough


class Holders:
    """Leaders with a state in memory, or about to have it, by member.

    Whoever is told to begin with a state is a holder from then on: a request that reaches it too early waits there. So
    the tree is laid out when orders leave, and n leaders have a state after some log2(n) sends one after another.

    Args:
        nodes: the node of each rank, by its id.
    """

    def __init__(self, nodes: Mapping[int, int]) -> None:
        self._nodes = nodes
        self._trees: dict[int, _Tree] = {}

    def __contains__(self, member_id: int) -> bool:
        return member_id in self._trees

    def of(self, member_id: int) -> KeysView[int]:
        """The leaders that hold a state, its producer first."""
        return self._trees[member_id].holders.keys() if member_id in self._trees else {}.keys()

    def add(self, member_id: int, leader: int) -> None:
        """A leader's group has produced a state, or read it from disk."""
        self._trees[member_id] = tree = _Tree()
        tree.add(leader, self._nodes[leader])

    def assign(self, member_id: int, leader: int) -> tuple[int, ...]:
        """From whom a leader gets a state, best first; none: from disk. It is a holder from now on."""
        tree = self._trees.get(member_id)
        if tree is None:
            self.add(member_id, leader)  # from disk
            return ()
        if leader in tree.holders:
            return tuple(tree.others(leader))
        first = tree.take(self._nodes[leader])
        tree.add(leader, self._nodes[leader])
        return first, *tree.others(first, leader)

    def discard(self, member_id: int, leaders: Iterable[int]) -> Iterable[int]:
        """These leaders have a state no more; gives others whose copy may go, for nobody is left to send it."""
        if (tree := self._trees.get(member_id)) is None:
            return ()
        tree.discard(leaders)
        return () if tree.can_send else self._trees.pop(member_id).holders

    def has_producer(self, member_id: int) -> bool:
        """Whether the leader that writes a state to disk still has it."""
        return member_id in self._trees and self._trees[member_id].has_producer

    def forget(self, wanted: set[int]) -> Iterable[tuple[int, int]]:
        """Drops all states but the wanted ones; gives (leader, member id) of each copy that may go."""
        for member_id in [i for i in self._trees if i not in wanted]:
            for leader in self._trees.pop(member_id).holders:
                yield leader, member_id


class _Tree:
    """Holders of one state, and those of them that may still send it, by node, longest ready first."""

    def __init__(self) -> None:
        self.holders: dict[int, int] = {}  # how often each was asked, the producer first
        self.has_producer = True  # who alone writes it to disk
        self._free: dict[int, deque[int]] = {}

    def add(self, leader: int, node: int) -> None:
        self.holders[leader] = 0
        self._free.setdefault(node, deque()).append(leader)

    def take(self, node: int) -> int:
        """The one to be asked: on the same node where there is one, else on the node that was asked least lately."""
        if node not in self._free:
            node = next(iter(self._free))
        free = self._free.pop(node)
        leader = free.popleft()
        self.holders[leader] += 1
        if self.holders[leader] < MOST_SERVED:
            free.append(leader)
        if free:
            self._free[node] = free  # behind the others
        return leader

    @property
    def can_send(self) -> bool:
        """Whether somebody is left who may be asked."""
        return bool(self._free)

    def discard(self, leaders: Iterable[int]) -> None:
        gone = set(leaders)
        self.has_producer = self.has_producer and next(iter(self.holders)) not in gone
        self.holders = {leader: count for leader, count in self.holders.items() if leader not in gone}
        rest = {node: deque(leader for leader in free if leader not in gone) for node, free in self._free.items()}
        self._free = {node: free for node, free in rest.items() if free}

    def others(self, *asked: int) -> Iterable[int]:
        """Whom to turn to where those asked have lost the state: its producer."""
        producer = next(iter(self.holders))
        return () if producer in asked else (producer,)
