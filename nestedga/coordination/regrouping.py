"""Idle ranks form other groups, where those suit the members that wait; and groups stop, at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from nestedga.coordination.allocation import Allocation
from nestedga.coordination.groups import Groups
from nestedga.protocol.messages import Order, OrderKind
from nestedga.record.events import GroupsReformed


class Regrouping:
    """Decides when groups are formed anew, and of whom.

    Args:
        groups: of the job.
        allocation: how many ranks each member gets; None: the groups stay as they are.

    Attributes:
        last_seconds: of groups that have dissolved, since the last event that told of it, or stopped; by activity.
    """

    def __init__(self, groups: Groups, allocation: Allocation | None) -> None:
        self._groups = groups
        self._allocation = allocation
        self._stopped: set[int] = set()
        self.last_seconds: Counter[str] = Counter()

    @property
    def goes_on(self) -> bool:
        """Whether groups are formed anew at all."""
        return self._allocation is not None

    @property
    def must_wait(self) -> bool:
        """Whether groups are forming, or starting, that may share their ranks with those that are idle."""
        return self._allocation is not None and self._groups.forming

    @property
    def may(self) -> bool:
        """Whether groups may be formed anew now."""
        return self.goes_on and self._groups.num_idle > 0 and not self.must_wait

    @property
    def num_possible(self) -> int:
        """How many groups the idle ranks are, or could form."""
        if self._allocation is None:
            return self._groups.num_idle
        return self._allocation.num_groups(self._groups.num_idle_ranks)

    def orders(self, promises: Sequence[float]) -> Iterator[tuple[int, Order]]:
        """To idle groups that are dissolved.

        Args:
            promises: of the members that wait, least (best) first.
        """
        assert self._allocation is not None
        if promises:
            sizes = self._allocation.sizes(promises, self._groups.num_idle_ranks)
            if sizes != self._groups.idle_sizes:
                for group, groups in self._groups.reform(sizes).items():
                    yield group, Order(OrderKind.REGROUP, groups=groups)

    def dissolve(self, ledger: Mapping[str, float]) -> GroupsReformed | None:
        """A group is no more; gives what has happened, once all that were to go have gone.

        Args:
            ledger: its last seconds, by activity.
        """
        self.last_seconds.update(ledger)
        if not self._groups.dissolved():
            return None
        event = GroupsReformed(tuple(sorted(self._groups.sizes.items())), dict(self.last_seconds))
        self.last_seconds.clear()
        return event

    def stop(self, group: int, ledger: Mapping[str, float]) -> bool:
        """A group has left; True when all have.

        Args:
            group: which.
            ledger: its last seconds, by activity.
        """
        self._stopped.add(group)
        self.last_seconds.update(ledger)
        return len(self._stopped) == len(self._groups)
