"""The coordinator: owns the only search and the journal, and decides what each group does next.

No MPI and no torch here: reports come in, orders go out. Rule of the house: journalled before sent.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from nestedga.errors import SettingError
from nestedga.front import Front
from nestedga.journal import Journal, Record
from nestedga.member import Evaluation, Member
from nestedga.messages import Durable, Evaluated, Holding, Order, Ready, Report, Stopped, Task, Tested
from nestedga.search.base import Search
from nestedga.search_process import DistantSearch


class StateFiles(Protocol):
    """Durable copies of states, by member id."""

    def intact(self, member_id: int) -> bool: ...

    def remove(self, member_id: int) -> None: ...

    def all(self) -> Iterable[int]: ...


class Coordinator:
    """Decides, one batch of reports at a time.

    Args:
        search: of whatever algorithm, empty or rebuilt by ``replay``; may think for a while in another process.
        journal: the record of the run.
        files: durable copies of states.
        modes: ``min`` or ``max`` for each objective: the user's sign.
        num_groups: groups that will report.
        max_seconds: nothing is handed out later than this after the start.
        clock: seconds, monotonic; a simulation brings its own.
    """

    def __init__(
        self,
        search: Search | DistantSearch,
        journal: Journal,
        files: StateFiles,
        *,
        modes: Sequence[str],
        num_groups: int,
        max_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.search = search
        self.finished = False
        self.thinking = False  # the search was asked and has not answered yet
        self._journal = journal
        self._files = files
        self._modes = tuple(modes)
        self._num_groups = num_groups
        self._clock = clock
        self._deadline = None if max_seconds is None else clock() + max_seconds
        self._queue: list[Member] = []  # asked, waiting for a group
        self._idle: set[int] = set()
        self._orders: dict[int, Order] = {}  # out, by group
        self._known: dict[int, tuple[Member, Evaluation]] = {}  # whose state is wanted, or a wanted one's parent
        self._front = Front()
        self._holders: dict[int, list[int]] = {}  # groups with the state in memory, by member
        self._durable: set[int] = set()
        self._to_drop: dict[int, list[int]] = defaultdict(list)  # by group, told with its next order
        self._tested = False
        self._stopped: set[int] = set()
        self._num_told = 0
        self._told_when_asked = 0

    def replay(self, records: Iterable[Record]) -> None:
        """Rebuilds search and queue from a journal; members asked and not told are handed out again."""
        asked: dict[int, Member] = {}
        untold: deque[Evaluation] = deque()  # journalled while the search was thinking
        for number, record in enumerate(records, start=1):
            if record["event"] == "ask":
                member = Member.from_json(record["member"])
                while self._num_told - len(untold) < record.get("told", self._num_told):
                    self.search.tell(untold.popleft())
                self.search.adopt(member)
                asked[member.id] = member
            elif record["event"] == "tell":
                evaluation = Evaluation.from_json(record["evaluation"])
                untold.append(self._take(asked.pop(evaluation.member_id), evaluation))
            elif record["event"] == "test":
                while untold:
                    self.search.tell(untold.popleft())
                self._tested = self.search.done  # a run that had hit its time limit may still find a better one
            if number % 10_000 == 0:  # so that a long journal is not held in memory whole
                self._forget(self._wanted(asked.values(), untold), keep_files=True)
        for evaluation in untold:
            self.search.tell(evaluation)
        self._queue = sorted(asked.values(), key=lambda member: member.id)
        on_disk = set(self._files.all())
        self._durable = {member_id for member_id in on_disk & set(self._known) if self._files.intact(member_id)}
        for member_id in on_disk - self._durable:
            self._files.remove(member_id)
        self._forget(self._wanted())

    def receive(self, report: Report) -> None:
        """Takes in one report of a leader."""
        match report:
            case Ready(group):
                self._idle.add(group)
            case Evaluated(group, evaluation):
                self._idle.add(group)
                order = self._orders.pop(group)
                assert order.member is not None and order.member.id == evaluation.member_id
                if order.task is Task.RETRAIN:
                    self._check_repeated(evaluation)
                else:
                    self._journal.record("tell", group=group, evaluation=evaluation.to_json())
                    self.search.tell(self._take(order.member, evaluation))
                if evaluation.ok and evaluation.checksum is not None:
                    self._holders[evaluation.member_id] = [group]
            case Tested(group, metrics, ledger):
                self._idle.add(group)
                order = self._orders.pop(group)
                assert order.member is not None
                self._journal.record("test", group=group, member_id=order.member.id, metrics=metrics, ledger=ledger)
                self._tested = True
            case Holding(group, member_id):
                self._holders.setdefault(member_id, []).append(group)
            case Durable(member_id):
                self._durable.add(member_id)
            case Stopped(group, ledger):
                self._stopped.add(group)
                if len(self._stopped) == self._num_groups:
                    status = "complete" if self.search.done else "max_seconds"
                    front = list(self._front.ids)
                    if self._num_told and not front:
                        status = "failed"
                    self._journal.record("end", status=status, front=front, ledger=ledger)
                    self._journal.flush()
                    self.finished = True

    def decide(self) -> list[tuple[int, Order]]:
        """Orders for idle groups, journalled already; call it after every batch of reports."""
        sent: list[tuple[int, Order]] = []
        while self._idle and (order := self._next_order()) is not None:
            group = self._place(order)
            self._idle.discard(group)
            if order.task is not Task.STOP:
                assert order.member is not None
                self._orders[group] = order
                self._journal.record("order", group=group, member_id=order.member.id, task=order.task.value)
            sent.append((group, order))
        self._forget(self._wanted())
        self._journal.flush()
        return [
            (group, Order(order.task, order.member, order.sources, tuple(self._to_drop.pop(group, ()))))
            for group, order in sent
        ]

    @property
    def best(self) -> Member | None:
        """The best by the first objective; between equals, by the next."""
        return self._known[self._front.ids[0]][0] if self._front.ids else None

    # What comes next

    def _next_order(self) -> Order | None:
        out_of_time = self._deadline is not None and self._clock() > self._deadline
        if not out_of_time:
            if not self._queue:
                self._ask()
            for member in self._queue:
                order = self._begin(Task.TRAIN, member, member.weights_parents)
                if order is not None and order.task is Task.TRAIN:
                    self._queue.remove(member)
                if order is not None:
                    return order
        if self._orders or (self.thinking and not out_of_time):
            return None
        assert out_of_time or self.search.done, "the search asks for nobody though nobody is in flight"
        best = self.best
        if best is not None and not self._tested:
            return self._begin(Task.TEST, best, (best.id,))
        for member_id in self._front.ids:
            if self._has_state(member_id) and member_id not in self._durable:
                if self._holders.get(member_id):
                    return None  # its file is being written; groups stop only when that is done
                member = self._known[member_id][0]
                return self._begin(Task.RETRAIN, member, member.weights_parents)
        return Order(Task.STOP)

    def _ask(self) -> None:
        if not self.thinking:
            self._told_when_asked = self._num_told
        members = self.search.ask(len(self._idle))
        self.thinking = members is None
        # A replay must not tell the search earlier what it did not know when it was asked.
        late = {"told": self._told_when_asked} if self._told_when_asked < self._num_told else {}
        for member in members or ():
            self._journal.record("ask", member=member.to_json(), **late)
            self._queue.append(member)
        if members == [] and late:
            self._ask()  # what came in while it was thinking may change its mind

    def _begin(self, task: Task, member: Member, states: tuple[int, ...]) -> Order | None:
        """The order for a task that begins with these states; where one is lost, the order that brings it back."""
        for state in states:
            if self._has_state(state) and not self._holders.get(state) and state not in self._durable:
                if any(
                    order.task is Task.RETRAIN and order.member and order.member.id == state
                    for order in self._orders.values()
                ):
                    return None  # being trained again
                lost = self._known[state][0]
                return self._begin(Task.RETRAIN, lost, lost.weights_parents)
        # The latest holder first: it has served least, and so a much wanted state spreads.
        sources = tuple(
            (state, tuple(reversed(self._holders.get(state, ())))) for state in states if self._has_state(state)
        )
        return Order(task, member, sources)

    def _place(self, order: Order) -> int:
        """The idle group that suits an order best: one that holds the state already."""
        holders = {group for _, groups in order.sources for group in groups}
        return min(self._idle, key=lambda group: (group not in holders, group))

    # What is kept

    def _take(self, member: Member, evaluation: Evaluation) -> Evaluation:
        """Takes in what is known of a member now; gives what the search is to be told."""
        minimised = evaluation.minimised(self._modes)
        self._num_told += 1
        self._known[member.id] = (member, evaluation)
        if minimised.ok:
            self._front.add(member.id, minimised.values)
        return minimised

    def _has_state(self, member_id: int) -> bool:
        return self._known[member_id][1].checksum is not None

    def _wanted(self, asked: Iterable[Member] = (), untold: Iterable[Evaluation] = ()) -> set[int]:
        """Members whose state somebody may still begin with."""
        wanted = self.search.needed() | {evaluation.member_id for evaluation in untold}
        wanted.update(self._front.ids[:1])  # the test split is read for the best
        for member in (*asked, *self._queue):
            wanted.update(member.weights_parents)
        for order in self._orders.values():
            assert order.member is not None
            wanted.update(member_id for member_id, _ in order.sources)
            if order.task is Task.RETRAIN:
                wanted.add(order.member.id)
        return wanted

    def _forget(self, wanted: set[int], keep_files: bool = False) -> None:
        """Lets go of what nobody wants. A parent's file goes only when its children's are durable."""
        front = set(self._front.ids)
        kept = wanted | front
        rest = list(kept)
        while rest:
            member_id = rest.pop()
            if member_id in self._durable or not self._has_state(member_id):
                continue
            parents = set(self._known[member_id][0].weights_parents) - kept
            kept |= parents
            rest += parents
        self._known = {member_id: self._known[member_id] for member_id in kept}
        # Nobody begins with the rest of the front: to have it on disk is enough.
        in_memory = wanted | (front - self._durable)
        for member_id in [i for i in self._holders if i not in in_memory]:
            for group in self._holders.pop(member_id):
                self._to_drop[group].append(member_id)
        if not keep_files:
            for member_id in self._durable - kept:
                self._files.remove(member_id)
            self._durable &= kept

    def _check_repeated(self, evaluation: Evaluation) -> None:
        _, journalled = self._known[evaluation.member_id]
        same = evaluation.values == journalled.values and evaluation.checksum == journalled.checksum
        if not same and evaluation.ranks == journalled.ranks:
            raise SettingError(
                f"member {evaluation.member_id}, trained again because its state was lost, gave "
                f"{list(evaluation.values)} (state {evaluation.checksum}) where the journal says "
                f"{list(journalled.values)} (state {journalled.checksum}); the machine, the packages or the data have "
                "changed since: go on where the run was begun, or begin a new one"
            )
        if not evaluation.ok:
            raise SettingError(
                f"member {evaluation.member_id}, trained again because its state was lost, failed: {evaluation.message}"
            )


class Mail(Protocol):
    """How reports come in and orders go out."""

    def poll_reports(self) -> list[Report]: ...

    def order(self, group: int, message: Order) -> None: ...

    def flush(self, limit_seconds: float) -> None: ...


def serve(coordinator: Coordinator, mail: Mail, nap_seconds: float = 0.001) -> None:
    """Runs a coordinator until its run is over; sleeps between reports, for it shares a core with a training rank."""
    while not coordinator.finished:
        reports = mail.poll_reports()
        if not reports:
            time.sleep(nap_seconds)
            if not coordinator.thinking:
                continue
        for report in reports:
            coordinator.receive(report)
        for group, order in coordinator.decide():
            mail.order(group, order)
    mail.flush(limit_seconds=60.0)
