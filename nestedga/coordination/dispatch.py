"""Who waits for a group, which group suits whom, and what each is doing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from nestedga.coordination.groups import Groups
from nestedga.coordination.queue import Queue
from nestedga.coordination.state_directory import StateDirectory
from nestedga.population.member import Member
from nestedga.protocol.messages import Order, OrderKind, Prefetch


class Work(NamedTuple):
    """What a group is to do, before it is known which.

    Attributes:
        kind: what to do.
        member: with whom; None for STOP.
        states: ids of the members whose states it begins with.
    """

    kind: OrderKind
    member: Member | None = None
    states: tuple[int, ...] = ()


class Dispatch:
    """Hands members that wait to idle groups.

    Args:
        groups: whose work it is.
        states: where the states are that they begin with.
        by_promise: the most promising come first, and the largest idle group takes them; else all in turn.

    Attributes:
        queue: members that wait.
        orders: that are out, by group.
    """

    def __init__(self, groups: Groups, states: StateDirectory, *, by_promise: bool) -> None:
        self.queue = Queue(states.promise if by_promise else None)
        self.orders: dict[int, Order] = {}
        self._groups = groups
        self._states = states

    def next_work(self, work_for: Callable[[Member], Work | None]) -> tuple[int, Work] | None:
        """What is to be done next for members that wait, and the idle group that is to do it; None: nothing can be.

        Args:
            work_for: what has to be done so that a member is trained: to train it, or another first; None: to wait.
        """
        for candidate in self.queue.candidates(self._groups.idle):
            work = work_for(candidate.member)
            if work is None:
                continue
            if work.kind is OrderKind.TRAIN:
                self.queue.take(candidate)
                if candidate.group is not None and self._groups.is_idle(candidate.group):
                    return candidate.group, work
            return self.group_for(work), work
        return None

    def group_for(self, work: Work) -> int:
        """The idle group that suits best."""
        return self._groups.nearest(holder for state in work.states for holder in self._states.holders(state))

    def send(self, group: int, work: Work) -> Order:
        """The order of an idle group, which is busy from now on, or has stopped."""
        self._groups.take(group)
        order = Order(work.kind, work.member, tuple(self._states.source(state, group) for state in work.states))
        if work.member is not None:
            self.orders[group] = order
        if work.kind is OrderKind.TRAIN:
            self.queue.add_busy(group)
        return order

    def with_drops(self, group: int, order: Order) -> Order:
        """An order that also says what its leader need not keep any more."""
        drops = self._states.take_drops(group)
        return Order(order.kind, order.member, order.sources, drops, order.groups) if drops else order

    def drops_of_former_leaders(self) -> Iterator[tuple[int, Prefetch]]:
        """Who leads no more still keeps states, and gets no orders that say what to drop."""
        for leader in [leader for leader in self._states.with_drops if leader not in self._groups]:
            yield leader, Prefetch(drop=self._states.take_drops(leader))

    def finish(self, group: int) -> tuple[Order, Member]:
        """A group is idle again; gives its order, and with whom that was."""
        self._groups.add_idle(group)
        self.queue.discard_busy(group)
        order = self.orders.pop(group)
        assert order.member is not None
        return order, order.member

    def is_retraining(self, member_id: int) -> bool:
        """Whether a group trains a member again."""
        return any(
            order.kind is OrderKind.RETRAIN and order.member is not None and order.member.id == member_id
            for order in self.orders.values()
        )

    def prefetches(self) -> Iterator[tuple[int, Prefetch]]:
        """Earmarks members for busy groups, and has states fetched that these will begin with."""
        for group, member in self.queue.earmark():
            held = ((state, self._states.holders(state)) for state in member.weights_parents)
            absent = [state for state, holders in held if holders and group not in holders]
            if absent:
                yield group, Prefetch(tuple(self._states.source(state, group) for state in absent))

    def wanted(self) -> set[int]:
        """Members whose state somebody begins with who waits or is being trained, and those trained again."""
        wanted = {parent for member in self.queue for parent in member.weights_parents}
        for order in self.orders.values():
            assert order.member is not None
            wanted.update(source.member_id for source in order.sources)
            if order.kind is OrderKind.RETRAIN:
                wanted.add(order.member.id)
        return wanted
