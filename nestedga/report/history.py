"""The state of a run as far as its journal tells: what every display draws from."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from nestedga.front import Front
from nestedga.journal import Record
from nestedga.member import Evaluation, Member
from nestedga.objectives import Objectives


@dataclass(slots=True)
class History:
    """Takes in records one by one.

    A row is a batch of ``population_size`` evaluations, the last one perhaps fewer; for a generational search, a
    generation.
    """

    header: Record = field(default_factory=dict)
    objectives: Objectives = field(init=False)  # known with the header
    members: dict[int, Member] = field(default_factory=dict)
    evaluations: dict[int, Evaluation] = field(default_factory=dict)
    running: dict[int, tuple[int, str, float]] = field(default_factory=dict)  # group: (member id, task, since)
    front: Front = field(default_factory=Front)  # of minimised objectives
    row: list[int] = field(default_factory=list)  # member ids of the batch that is coming in
    num_rows: int = 0
    counts: dict[str, int] = field(default_factory=dict)  # evaluations by status
    ledger: dict[str, float] = field(default_factory=dict)  # seconds of all groups by activity
    test: Record | None = None
    status: str = "running"
    began: float = 0.0  # of this start, in seconds since the epoch
    now: float = 0.0
    seconds_before: float = 0.0  # of earlier starts
    told_before: int = 0

    def take(self, record: Record) -> list[int] | None:
        """Takes in one record; gives the member ids of a row that it completed, else None."""
        event = record["event"]
        if event in ("run", "resume"):
            self.seconds_before += self.now - self.began
            self.told_before = len(self.evaluations)
            self.header, self.began, self.status = record, record["time"], "running"
            self.objectives = Objectives.from_config(record["objective"])
            self.running.clear()
        self.now = record["time"]
        if event == "ask":
            member = Member.from_json(record["member"])
            self.members[member.id] = member
        elif event == "order":
            self.running[record["group"]] = (record["member_id"], record["task"], record["time"])
        elif event == "tell":
            return self._tell(Evaluation.from_json(record["evaluation"]), record["group"])
        elif event == "test":
            self.running.pop(record["group"], None)
            self.test = record
            self._charge(record["ledger"])
        elif event == "end":
            self.status = record["status"]
            self._charge(record["ledger"])
        return None

    def _tell(self, evaluation: Evaluation, group: int) -> list[int] | None:
        self.running.pop(group, None)
        self.evaluations[evaluation.member_id] = evaluation
        self.counts[evaluation.status.value] = self.counts.get(evaluation.status.value, 0) + 1
        self._charge(evaluation.ledger)
        if evaluation.ok:
            self.front.add(evaluation.member_id, evaluation.minimised(self.objectives.modes).values)
        self.row.append(evaluation.member_id)
        if len(self.row) < self.population_size and len(self.evaluations) != self.num_evaluations:
            return None
        row, self.row = self.row, []
        self.num_rows += 1
        return row

    def _signed(self, minimised: Sequence[float]) -> tuple[float, ...]:
        return tuple(-v if mode == "max" else v for v, mode in zip(minimised, self.objectives.modes, strict=True))

    def _charge(self, ledger: dict[str, float]) -> None:
        for activity, seconds in ledger.items():
            self.ledger[activity] = self.ledger.get(activity, 0.0) + seconds

    @property
    def best_id(self) -> int | None:
        """The best member by the first objective; between equals, by the next."""
        return self.front.ids[0] if self.front.ids else None

    @property
    def reference(self) -> tuple[float, ...]:
        """The front's reference point, in the user's sign."""
        return self._signed(self.front.reference.tolist())

    @property
    def best_values(self) -> tuple[float, ...]:
        """The best value of each objective so far, in the user's sign; each is some member's of the front."""
        return self._signed(self.front.points.min(axis=0).tolist())

    @property
    def population_size(self) -> int:
        return int(self.header["population_size"])

    @property
    def num_evaluations(self) -> int | None:
        return self.header["num_evaluations"]  # type: ignore[no-any-return]

    @property
    def seconds(self) -> float:
        return self.seconds_before + self.now - self.began

    def eta_seconds(self, now: float) -> float | None:
        """Seconds to go, from the pace of this start; None before there is one."""
        told = len(self.evaluations) - self.told_before
        if self.num_evaluations is None or not told:
            return None
        return (now - self.began) / told * (self.num_evaluations - len(self.evaluations))

    def spread(self, row: list[int], objective: int = 0) -> tuple[float, float, float] | None:
        """Best, median and worst of a row by one objective, in the user's sign; None where all failed."""
        evaluations = map(self.evaluations.__getitem__, row)
        reverse = self.objectives.modes[objective] == "max"
        values = sorted((e.values[objective] for e in evaluations if e.ok), reverse=reverse)
        return (values[0], statistics.median(values), values[-1]) if values else None

    def lineage(self, member_id: int) -> list[Member]:
        """The members through whose training the weights of this one came, oldest first."""
        line: list[Member] = []
        at: int | None = member_id
        while at is not None:
            member = self.members[at]
            line.append(member)
            at = member.weights_parents[0] if member.weights_parents else None
        return line[::-1]


def finite(value: float) -> float | None:
    """For JSON, which has no NaN."""
    return value if math.isfinite(value) else None
