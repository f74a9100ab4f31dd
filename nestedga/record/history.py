"""The state of a run as far as its journal tells: what every display draws from."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nestedga.population.member import Evaluation, Member, signed
from nestedga.population.objectives import Objectives
from nestedga.protocol.layout import Layout
from nestedga.protocol.messages import OrderKind
from nestedga.record import journal
from nestedga.record.events import (
    Event,
    GroupsReformed,
    MemberAsked,
    MemberRetrained,
    MemberTold,
    OrderFailed,
    OrderSent,
    RunBegan,
    RunEnded,
    RunResumed,
    TestRead,
)
from nestedga.record.front import Front
from nestedga.record.group_seconds import GroupSeconds
from nestedga.record.line import JournalLine
from nestedga.record.members import Impossible, Members, Told
from nestedga.record.offsets import Offsets


@dataclass(frozen=True, slots=True)
class Running:
    """What a group is at.

    Attributes:
        member_id: with whom.
        task: what.
        since: in seconds since the epoch.
    """

    member_id: int
    task: OrderKind
    since: float


class History:
    """Takes in the lines of a journal one by one.

    It holds what goes on now, and sums. Of a member that has been told only the places of its two lines are kept; the
    rest is read again from the journal when it is asked for. So a million evaluations fit.

    A row is a batch of ``population_size`` evaluations, the last one perhaps fewer; for a generational search, a
    generation.

    Args:
        path: of the journal.

    Attributes:
        start: how the job was started last; known once it was.
        started: when that was journalled, in seconds since the epoch.
        num_starts: how often the job was started.
        objectives: known with the start.
        members: who waits, who was told, and the front.
        running: what groups are at, by group.
        row: evaluations of the row that is coming in.
        completed_row: that which the last line completed, in the order of coming in; else None.
        num_rows: complete ones.
        counts: evaluations by status.
        seconds: the clock, the groups, and where their seconds went.
        test: the best member on the test split.
        status: ``running``, or how the run ended.
    """

    def __init__(self, path: Path) -> None:
        self.start: RunBegan
        self.started = 0.0
        self.num_starts = 0
        self.objectives: Objectives
        self.members = Members(())
        self.running: dict[int, Running] = {}
        self.row: list[Evaluation] = []
        self.completed_row: list[Evaluation] | None = None
        self.num_rows = 0
        self.counts: dict[str, int] = {}
        self.seconds = GroupSeconds()
        self.test: TestRead | None = None
        self.status = "running"
        self._path = path
        self._offsets = Offsets(path)
        self._told_before = 0  # in earlier starts

    @classmethod
    def of(cls, path: Path) -> History:
        """That of a whole journal."""
        history = cls(path)
        for line in journal.lines(path):
            history.take(line)
        return history

    def take(self, line: JournalLine) -> Told | None:
        """Takes in one line; gives what came in with it, if it is an evaluation.

        Raises:
            JournalError: it cannot follow those before it.
        """
        try:
            self._check(line.event)
            told = self.members.take(line.event)
        except Impossible as error:
            raise journal.damaged(self._path, line.number, str(error)) from error
        self._offsets.take(line)
        self.completed_row = None
        if isinstance(line.event, RunBegan):
            self._begin(line.event, line.time)
            return None
        self.seconds.pass_until(line.time)
        match line.event:
            case OrderSent(group, member_id, task):
                self.running[group] = Running(member_id, task, line.time)
            case MemberTold(group, evaluation):
                self._free(group, evaluation.ledger)
                self._count(evaluation)
                return told
            case MemberRetrained(group, _, ledger) | OrderFailed(group, _, _, ledger):
                self._free(group, ledger)
            case TestRead(group, _, _, ledger):
                self._free(group, ledger)
                self.test = line.event
            case GroupsReformed(groups, ledger):
                self.seconds.regroup(dict(groups), ledger)
            case RunEnded(status, _, ledger):
                self.status = status
                self.seconds.charge(ledger, self.seconds.groups)
        return None

    def _check(self, event: Event) -> None:
        """What only the whole history can tell of the order of events."""
        match event:
            case RunResumed():
                if not self.num_starts:
                    raise Impossible("a run is resumed that was not begun")
            case RunBegan():
                if self.num_starts:
                    raise Impossible("the run is begun twice")
            case _ if not self.num_starts:
                raise Impossible("something happens before the run is begun")
            case _ if self.status != "running":
                raise Impossible("something happens after the run has ended")
            case MemberAsked(member):
                if self._offsets.was_asked(member.id):
                    raise Impossible(f"member {member.id} is asked for twice")
            case OrderSent(group, member_id, task):
                if group not in self.seconds.groups:
                    raise Impossible(f"group {group} is given an order, and there is no such group")
                if group in self.running:
                    raise Impossible(f"group {group} is given an order though it has one")
                known = member_id in self.members.waiting if task is OrderKind.TRAIN else self.was_told(member_id)
                if not known:
                    raise Impossible(
                        f"group {group} is to {task.value} member {member_id}, and there is nobody of that id"
                    )
            case MemberTold(group, evaluation):
                self._check_ordered(group, evaluation.member_id, OrderKind.TRAIN)
            case MemberRetrained(group, member_id):
                self._check_ordered(group, member_id, OrderKind.RETRAIN)
            case TestRead(group, member_id):
                self._check_ordered(group, member_id, OrderKind.TEST)
            case OrderFailed(group, member_id):
                self._check_ordered(group, member_id, *OrderKind)

    def _check_ordered(self, group: int, member_id: int, *kinds: OrderKind) -> None:
        running = self.running.get(group)
        if running is None or running.member_id != member_id or running.task not in kinds:
            raise Impossible(f"group {group} hands in member {member_id}, which it was not given")

    def _begin(self, start: RunBegan, time: float) -> None:
        self.objectives = Objectives.from_config(start.objective)
        if not self.num_starts:
            self.members = Members(self.objectives.modes, start.last_counts)
        self.start, self.started, self.status = start, time, "running"
        self.num_starts += 1
        self.seconds.begin(start, time)
        self._told_before = self.num_evaluated
        self.running.clear()

    def _free(self, group: int, ledger: dict[str, float]) -> None:
        del self.running[group]
        self.seconds.charge(ledger, [group])

    def _count(self, evaluation: Evaluation) -> None:
        self.counts[evaluation.status.value] = self.counts.get(evaluation.status.value, 0) + 1
        self.row.append(evaluation)
        if len(self.row) == self.start.population_size or self.num_evaluated == self.start.num_evaluations:
            self.completed_row, self.row = self.row, []
            self.num_rows += 1

    @property
    def num_evaluated(self) -> int:
        return self.members.num_evaluated

    @property
    def front(self) -> Front:
        """Of minimised objectives."""
        return self.members.front

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
    def name(self) -> str:
        """As in "digits_pbt" or "digits_pbt, part 1"."""
        return f"{self.start.experiment}{'' if self.start.part is None else f', part {self.start.part}'}"

    @property
    def began(self) -> float:
        """When this start of the job began, in seconds since the epoch."""
        return self.started - (self.start.initialise_seconds or 0.0)

    @property
    def layout(self) -> str:
        """The groups of now, in words."""
        return str(Layout(tuple(self.seconds.groups.values())))

    def eta_seconds(self, now: float) -> float | None:
        """Seconds to go, from the pace of this start; None before there is one."""
        told = self.num_evaluated - self._told_before
        if self.start.num_evaluations is None or not told:
            return None
        return (now - self.started) / told * (self.start.num_evaluations - self.num_evaluated)

    def spread(self, row: Sequence[Evaluation], objective: int = 0) -> tuple[float, float, float] | None:
        """Best, median and worst of a row by one objective, in the user's sign; None where all failed."""
        reverse = self.objectives.modes[objective] == "max"
        values = sorted((e.values[objective] for e in row if e.ok), reverse=reverse)
        return (values[0], statistics.median(values), values[-1]) if values else None

    # Read again from the journal

    def __contains__(self, member_id: int) -> bool:
        return self._offsets.was_asked(member_id)

    def was_told(self, member_id: int) -> bool:
        return self._offsets.was_told(member_id)

    @property
    def last_id(self) -> int:
        """The highest id of a member; -1 before there is one."""
        return self._offsets.last_id

    def member(self, member_id: int) -> Member:
        """A member that was asked, or has immigrated."""
        return self.members.waiting.get(member_id) or self._offsets.member(member_id)

    def evaluation(self, member_id: int) -> Evaluation:
        """The evaluation of a member that was told, or has immigrated; its line must be on disk."""
        return self._offsets.evaluation(member_id)

    def lineage(self, member_id: int) -> list[Member]:
        """The members through whose training the weights of this one came, oldest first; see ``Offsets.lineage``."""
        return self._offsets.lineage(member_id)
