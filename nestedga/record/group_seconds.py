"""Where the seconds of all groups went, as a journal tells it: no second of a group is left out or counted twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import repeat

from nestedga.protocol.layout import Layout
from nestedga.record.events import RunBegan


class GroupSeconds:
    """The clock of a run, its groups, and what they handed in; lost is what a killed group had not handed in.

    Attributes:
        ledger: seconds of all groups by activity, handed in or lost.
        total: the number of groups integrated over the wall clock: what the ledger comes to, but for intervals that are
            out.
        wall: the wall clock, summed over all starts.
        groups: their sizes, by group.
        now: the time of the last event, in seconds since the epoch.
    """

    def __init__(self) -> None:
        self.ledger: dict[str, float] = {}
        self.total = 0.0
        self.wall = 0.0
        self.groups: dict[int, int] = {}
        self.now = 0.0
        self._charged: dict[int, float] = {}  # until when a group's seconds are in the ledger

    def pass_until(self, time: float) -> None:
        """All groups live on until then."""
        self.total += len(self.groups) * (time - self.now)
        self.wall += time - self.now
        self.now = time

    def begin(self, start: RunBegan, time: float) -> None:
        """A start of the job, journalled at this time; what an earlier one had not handed in is lost."""
        if lost := sum(self.now - self._charged[group] for group in self.groups):
            self.charge({"lost": lost}, self.groups)
        sizes, seconds = start.group_sizes, start.initialise_seconds
        numbers = range(len(sizes)) if seconds is None else Layout(sizes, start.first).leaders
        self.groups = dict(zip(numbers, sizes, strict=True))
        self.now = time - (seconds or 0.0)
        self._charged = dict.fromkeys(numbers, self.now)
        self.pass_until(time)

    def charge(self, ledger: Mapping[str, float], groups: Iterable[int]) -> None:
        """Seconds that these groups have handed in; all theirs up to now are in the ledger then."""
        for activity, seconds in ledger.items():
            self.ledger[activity] = self.ledger.get(activity, 0.0) + seconds
        self._charged.update(zip(groups, repeat(self.now)))

    def regroup(self, groups: dict[int, int], ledger: Mapping[str, float]) -> None:
        """A group whose leader and size stay has gone on meanwhile; the ledger is that of the others."""
        new = [group for group, size in groups.items() if self.groups.get(group) != size]
        self.groups = groups
        self.charge(ledger, new)
        self._charged = {group: self._charged[group] for group in groups}
