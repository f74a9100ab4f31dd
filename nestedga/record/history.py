"""The state of a run as far as its journal tells: what every display draws from."""

from __future__ import annotations

import statistics
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

from nestedga.population.member import Evaluation, Member, signed
from nestedga.population.objectives import ObjectiveConfig, Objectives
from nestedga.protocol.layout import Layout
from nestedga.record import journal
from nestedga.record.front import Front
from nestedga.record.journal import Record


@dataclass(frozen=True, slots=True)
class Told:
    """An evaluation that came in.

    Attributes:
        member: who was trained.
        evaluation: and how well.
        row: the row that it completed, in the order of coming in; else None.
    """

    member: Member
    evaluation: Evaluation
    row: list[Evaluation] | None


class History:
    """Takes in the records of a journal one by one.

    It holds what goes on now, and sums. Of a member that has been told only the places of its two lines are kept,
    16 bytes; the rest is read again from the journal when it is asked for. So a million evaluations fit.

    A row is a batch of ``population_size`` evaluations, the last one perhaps fewer; for a generational search, a
    generation. A group's seconds are lost where it was killed before it could hand in its ledger.

    Args:
        path: of the journal.

    Attributes:
        header: the record with which this start began; empty before there is one.
        objectives: known with the header.
        running: member id, task and since when, by group.
        front: of minimised objectives.
        row: evaluations of the row that is coming in.
        num_rows: complete ones.
        num_told: evaluations.
        counts: evaluations by status.
        ledger: seconds of all groups by activity, handed in or lost.
        group_seconds: the number of groups integrated over the wall clock: what the ledger comes to, but for intervals
            that are out.
        seconds: the wall clock, summed over all starts.
        groups: their sizes, by group.
        origins: of immigrants, the part of the world and the id that they had there, by their id here.
        test: the record of the best member on the test split.
        status: ``running``, or how the run ended.
        now: the time of the last record, in seconds since the epoch.
    """

    def __init__(self, path: Path) -> None:
        self.header = Record()
        self.objectives: Objectives
        self.running: dict[int, tuple[int, str, float]] = {}
        self.front = Front()
        self.row: list[Evaluation] = []
        self.num_rows = 0
        self.num_told = 0
        self.counts: dict[str, int] = {}
        self.ledger: dict[str, float] = {}
        self.group_seconds = 0.0
        self.seconds = 0.0
        self.groups: dict[int, int] = {}
        self.origins: dict[int, tuple[int, int]] = {}
        self.test: Record | None = None
        self.status = "running"
        self.now = 0.0
        self._path = path
        self._waiting: dict[int, Member] = {}  # asked and not told, by id
        self._asks = array("q")  # places of lines in the journal, by member id; -1: none
        self._tells = array("q")
        self._immigrants: dict[int, int] = {}  # places of their lines, by their id, which is negative
        self._charged: dict[int, float] = {}  # until when a group's seconds are in the ledger
        self._told_before = 0  # in earlier starts

    @classmethod
    def of(cls, path: Path) -> History:
        """That of a whole journal."""
        history = cls(path)
        for record in journal.read(path):
            history.take(record)
        return history

    def take(self, record: Record) -> Told | None:
        """Takes in one record; gives what came in with it, if it is an evaluation."""
        event = record["event"]
        if event in ("run", "resume"):
            self._begin(record)
        self.group_seconds += len(self.groups) * (record["time"] - self.now)
        self.seconds += record["time"] - self.now
        self.now = record["time"]
        if event == "ask":
            member = Member.from_json(record["member"])
            self._waiting[member.id] = member
            _put(self._asks, member.id, record.offset)
        elif event == "order":
            self.running[record["group"]] = (record["member_id"], record["task"], self.now)
        elif event == "tell":
            return self._tell(Evaluation.from_json(record["evaluation"]), record["group"], record.offset)
        elif event in ("test", "repeat"):
            self.running.pop(record["group"], None)
            self._charge(record["ledger"], [record["group"]])
            self.test = record if event == "test" else self.test
        elif event == "immigrate":
            member_id, origin = record["member"]["id"], record["origin"]
            self.origins[member_id] = origin["part"], origin["member_id"]
            self._immigrants[member_id] = record.offset
        elif event == "regroup":
            self._regroup(dict(record["groups"]), record["ledger"])
        elif event == "lost":
            self._lose([record["group"]])
            del self.groups[record["group"]]
        elif event == "end":
            self.status = record["status"]
            self._charge(record["ledger"], self.groups)
        return None

    def _begin(self, record: Record) -> None:
        """A start of the job; what an earlier one had not handed in is lost."""
        self._lose(self.groups)
        sizes, seconds = record["group_sizes"], record.get("initialise_seconds")
        # Journals from before there were these seconds number their groups 0, 1, 2, ...
        numbers = range(len(sizes)) if seconds is None else Layout(tuple(sizes), record.get("first", 0)).leaders
        self.now = record["time"] - (seconds or 0.0)
        self.groups = dict(zip(numbers, sizes, strict=True))
        self._charged = dict.fromkeys(numbers, self.now)
        self._told_before = self.num_told
        if not self.header:
            self.front = Front(record.get("last_counts", False))
        self.header, self.status = record, "running"
        self.objectives = Objectives.from_config(ObjectiveConfig(**record["objective"]))
        self.running.clear()

    def _tell(self, evaluation: Evaluation, group: int, offset: int) -> Told:
        member = self._waiting.pop(evaluation.member_id)
        _put(self._tells, member.id, offset)
        self.running.pop(group, None)
        self.num_told += 1
        self.counts[evaluation.status.value] = self.counts.get(evaluation.status.value, 0) + 1
        self._charge(evaluation.ledger, [group])
        if evaluation.ok:
            self.front.add(member.id, evaluation.minimised(self.objectives.modes).values)
        self.row.append(evaluation)
        if len(self.row) < self.population_size and self.num_told != self.num_evaluations:
            return Told(member, evaluation, None)
        row, self.row = self.row, []
        self.num_rows += 1
        return Told(member, evaluation, row)

    def _regroup(self, groups: dict[int, int], ledger: Mapping[str, float]) -> None:
        """A group whose leader and size stay has gone on meanwhile; the ledger is that of the others."""
        new = [group for group, size in groups.items() if self.groups.get(group) != size]
        self.groups = groups
        self._charge(ledger, new)
        self._charged = {group: self._charged[group] for group in groups}

    def _charge(self, ledger: Mapping[str, float], groups: Iterable[int]) -> None:
        """Seconds that these groups have handed in; all theirs up to now are in the ledger then."""
        for activity, seconds in ledger.items():
            self.ledger[activity] = self.ledger.get(activity, 0.0) + seconds
        self._charged.update(zip(groups, repeat(self.now)))

    def _lose(self, groups: Iterable[int]) -> None:
        if seconds := sum(self.now - self._charged[group] for group in groups):
            self._charge({"lost": seconds}, groups)

    @property
    def best_id(self) -> int | None:
        """The best member by the first objective; between equals, by the next."""
        return self.front.ids[0] if self.front.ids else None

    @property
    def reference(self) -> tuple[float, ...]:
        """The front's reference point, in the user's sign."""
        return signed(self.front.reference.tolist(), self.objectives.modes)

    @property
    def best_values(self) -> tuple[float, ...]:
        """The best value of each objective so far, in the user's sign; each is some member's of the front."""
        return signed(self.front.points.min(axis=0).tolist(), self.objectives.modes)

    @property
    def population_size(self) -> int:
        return int(self.header["population_size"])

    @property
    def num_evaluations(self) -> int | None:
        return self.header["num_evaluations"]  # type: ignore[no-any-return]

    @property
    def part(self) -> int | None:
        """Which part of the world this is the history of; None: there are no parts."""
        return self.header.get("part")

    @property
    def name(self) -> str:
        """As in "digits_pbt" or "digits_pbt, part 1"."""
        return f"{self.header['experiment']}{'' if self.part is None else f', part {self.part}'}"

    @property
    def began(self) -> float:
        """When this start of the job began, in seconds since the epoch."""
        return float(self.header["time"] - self.header.get("initialise_seconds", 0.0))

    @property
    def layout(self) -> str:
        """The groups of now, in words."""
        return str(Layout(tuple(self.groups.values())))

    def eta_seconds(self, now: float) -> float | None:
        """Seconds to go, from the pace of this start; None before there is one."""
        told = self.num_told - self._told_before
        if self.num_evaluations is None or not told:
            return None
        return float((now - self.header["time"]) / told * (self.num_evaluations - self.num_told))

    def spread(self, row: Sequence[Evaluation], objective: int = 0) -> tuple[float, float, float] | None:
        """Best, median and worst of a row by one objective, in the user's sign; None where all failed."""
        reverse = self.objectives.modes[objective] == "max"
        values = sorted((e.values[objective] for e in row if e.ok), reverse=reverse)
        return (values[0], statistics.median(values), values[-1]) if values else None

    # Read again from the journal

    def __contains__(self, member_id: int) -> bool:
        return 0 <= member_id < len(self._asks) and self._asks[member_id] >= 0

    @property
    def last_id(self) -> int:
        """The highest id of a member; -1 before there is one."""
        return len(self._asks) - 1

    def member(self, member_id: int) -> Member:
        """A member that was asked, or has immigrated."""
        waiting = self._waiting.get(member_id)
        return waiting or Member.from_json(self._read(self._asks, member_id)["member"])

    def evaluation(self, member_id: int) -> Evaluation:
        """The evaluation of a member that was told, or has immigrated; its line must be on disk."""
        return Evaluation.from_json(self._read(self._tells, member_id)["evaluation"])

    def _read(self, places: array[int], member_id: int) -> Record:
        return journal.read_at(self._path, self._immigrants[member_id] if member_id < 0 else places[member_id])

    def lineage(self, member_id: int) -> list[Member]:
        """The members through whose training the weights of this one came, oldest first.

        It ends at an immigrant, whose own lineage another journal tells.
        """
        return list(self._line(member_id))[::-1]

    def _line(self, member_id: int) -> Iterator[Member]:
        while True:
            member = self.member(member_id)
            yield member
            if not member.weights_parents:
                return
            member_id = member.weights_parents[0]


def _put(places: array[int], member_id: int, offset: int) -> None:
    """Ids count up, but for the gaps of intervals that a failed member never had."""
    places.extend(repeat(-1, member_id + 1 - len(places)))
    places[member_id] = offset
