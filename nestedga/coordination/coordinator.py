"""The coordinator: owns the only search and the journal, and decides what each group does next.

No MPI and no torch here: reports come in, orders go out. Rule of the house: journalled before sent.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from nestedga.coordination.dialogue import Dialogue
from nestedga.coordination.groups import Groups
from nestedga.coordination.migration import Migration
from nestedga.coordination.queue import Queue
from nestedga.coordination.state_directory import StateDirectory, StateFiles
from nestedga.coordination.thinker import Thinker
from nestedga.errors import SettingError
from nestedga.population.member import Evaluation, Member
from nestedga.protocol.layout import Layout
from nestedga.protocol.messages import (
    Dissolved,
    Durable,
    Ended,
    Evaluated,
    Letter,
    Migrant,
    Order,
    OrderKind,
    Prefetch,
    Ready,
    Report,
    Stopped,
    Tested,
)
from nestedga.record.journal import Journal, Record


class Allocation(Protocol):
    """How idle ranks are shared among members that wait."""

    def num_groups(self, num_ranks: int) -> int:
        """How many groups so many ranks can form."""
        ...

    def sizes(self, promises: Sequence[float], num_ranks: int) -> tuple[int, ...]:
        """Sizes of the groups that all these ranks form, largest first.

        Args:
            promises: of the members that wait, one or more, least (best) first: the minimised FoM of a parent, infinite
                without one.
            num_ranks: idle ones, enough for a group.
        """
        ...


class Work(NamedTuple):
    """What a group is to do, before it is known which."""

    kind: OrderKind
    member: Member | None = None
    states: tuple[int, ...] = ()  # that it begins with


class Coordinator:
    """Decides, one batch of reports at a time.

    Args:
        thinker: where the search thinks, which was told nothing yet.
        journal: the record of the run.
        files: durable copies of states.
        modes: ``min`` or ``max`` for each objective: the user's sign.
        layout: the groups that will report.
        nodes: the node of each world rank; None: all on one.
        allocation: forms other groups of idle ranks; None: the layout stays.
        migration: with parts of the world that have coordinators of their own; None: there are none.
        max_seconds: nothing is handed out later than this after the start.
        repeatable: a member trained again must come out the same.
        last_counts: the result is the last member that succeeded, and not the best.
        clock: seconds, monotonic; a simulation brings its own.
    """

    def __init__(
        self,
        thinker: Thinker,
        journal: Journal,
        files: StateFiles,
        *,
        modes: Sequence[str],
        layout: Layout,
        nodes: Sequence[int] | None = None,
        allocation: Allocation | None = None,
        migration: Migration | None = None,
        max_seconds: float | None = None,
        repeatable: bool = True,
        last_counts: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        nodes = [0] * (layout.first + sum(layout.sizes)) if nodes is None else nodes
        self._dialogue = Dialogue(thinker)
        self._journal = journal
        self._allotment = allocation
        self._migration = migration
        self._clock, self._repeatable = clock, repeatable
        self._deadline = None if max_seconds is None else clock() + max_seconds
        self._out_of_time = False
        self._groups = Groups(layout, nodes)
        self._unwritten: set[int] = set()  # members asked that are not in the journal's file yet
        self._orders: dict[int, Order] = {}  # out, by group
        self._directory = StateDirectory(files, modes, nodes, last_counts)
        # Where groups differ in size, the most promising come first, and the largest idle group takes them.
        uneven = allocation is not None or len(set(layout.sizes)) > 1
        self._queue = Queue(self._directory.promise if uneven else None)
        self._num_changes = 0  # since states were let go
        self._last_seconds: Counter[str] = Counter()  # by activity, of groups that have dissolved or stopped
        self._tested = False
        self._stopped: set[int] = set()
        self._ended = False
        self._num_evaluated = 0
        self._num_taken = 0  # evaluations and immigrants

    @property
    def thinking(self) -> bool:
        """Whether the search is still thinking, so that ``decide`` is worth a call without a report."""
        return self._dialogue.thinking

    @property
    def finished(self) -> bool:
        """Whether the run is over, and nobody writes to this coordinator any more."""
        return self._ended and not (self._migration and self._migration.running)

    def replay(self, records: Iterable[Record]) -> None:
        """Rebuilds search and queue from a journal; members asked and not told are handed out again."""
        asked: dict[int, Member] = {}
        untold: deque[tuple[Member, Evaluation]] = deque()  # journalled while the search was thinking

        def tell_first(number: int) -> None:
            while self._dialogue.num_told < number:
                self._tell(*untold.popleft())

        for number, record in enumerate(records, start=1):
            if record["event"] == "ask":
                member = Member.from_json(record["member"])
                tell_first(record.get("told", self._num_taken))
                self._dialogue.adopt(member)
                asked[member.id] = member
            elif record["event"] == "tell":
                evaluation = Evaluation.from_json(record["evaluation"])
                untold.append(self._take(asked.pop(evaluation.member_id), evaluation))
            elif record["event"] == "immigrate":
                evaluation = Evaluation.from_json(record["evaluation"])
                untold.append(self._take(Member.from_json(record["member"]), evaluation))
                if self._migration:
                    self._migration.readmit()
            elif record["event"] == "emigrate" and self._migration:
                self._migration.note(record["member_id"], self._num_evaluated)
            elif record["event"] == "test":
                self._tested = True
            if number % 10_000 == 0:  # so that a long journal is not held in memory whole
                self._dialogue.await_all_told()
                self._directory.forget(self._wanted(asked.values(), untold))
        tell_first(self._num_taken)
        self._dialogue.await_all_told()
        self._queue.add(asked[member_id] for member_id in sorted(asked))
        self._directory.find_files()
        self._directory.forget(self._wanted())

    def receive(self, report: Report | Letter) -> None:
        """Takes in one report of a leader, or one letter of another coordinator."""
        match report:
            case Ready(group):
                self._groups.add_ready(group)
            case Evaluated(group, evaluation, durable):
                order = self._free(group)
                self._directory.add_durable(durable)
                assert order.member is not None and order.member.id == evaluation.member_id
                if order.kind is OrderKind.RETRAIN:
                    self._journal.record(
                        "repeat", group=group, member_id=evaluation.member_id, ledger=evaluation.ledger
                    )
                    self._check_repeated(evaluation)
                else:
                    self._journal.record("tell", group=group, evaluation=evaluation.to_json())
                    self._tell(*self._take(order.member, evaluation))
                if evaluation.ok and evaluation.checksum is not None:
                    self._directory.add_holder(evaluation.member_id, group)
            case Tested(group, metrics, ledger):
                member = self._free(group).member
                assert member is not None
                self._journal.record("test", group=group, member_id=member.id, metrics=metrics, ledger=ledger)
                self._tested = True
            case Durable(_, member_ids):
                self._directory.add_durable(member_ids)
            case Dissolved(_, ledger):
                self._last_seconds.update(ledger)
                if self._groups.dissolved():
                    groups = sorted(self._groups.sizes.items())
                    self._journal.record("regroup", groups=groups, ledger=dict(self._last_seconds))
                    self._last_seconds.clear()
            case Stopped(group, ledger, durable):
                self._stopped.add(group)
                self._directory.add_durable(durable)
                self._last_seconds.update(ledger)
                if len(self._stopped) == len(self._groups):
                    self._end()
            case Migrant():
                self._admit(report)
            case Ended(part):
                assert self._migration is not None
                self._migration.running.discard(part)
        self._num_changes += 1

    def decide(self) -> list[tuple[int, Order]]:
        """Orders for idle groups; call it after every batch of reports.

        A member is on disk before its order leaves. One that was asked ahead is there already, so its group waits for
        nothing.
        """
        self._out_of_time = self._deadline is not None and self._clock() > self._deadline
        orders = list(self._regroup())
        while self._groups.num_idle and not self._must_wait and (found := self._next_work()) is not None:
            orders.append(self._send(*found))
        # Amortised, for it goes through all that is known: at least one change in thirty-two of them.
        if self._num_changes * 32 > max(len(self._directory), len(self._orders)):
            self._num_changes = 0
            self._directory.forget(self._wanted())
        if any(order.member is not None and order.member.id in self._unwritten for _, order in orders):
            self._write()
        return [(group, self._with_drops(group, order)) for group, order in orders]

    def prepare(self) -> list[tuple[int, Prefetch]]:
        """What no group waits for, once its order is out: asks ahead, brings the journal to disk, removes files.

        Gives messages to busy leaders, and to those that lead no more.
        """
        emigrant = self._emigrant()
        messages = self._look_ahead()
        if self._allotment is not None:
            messages += self._tell_former_leaders()
        self._write()
        self._directory.remove_files()
        if self._migration and emigrant:
            self._migration.send(*emigrant)
        return messages

    def _write(self) -> None:
        self._journal.flush()
        self._unwritten.clear()

    @property
    def best(self) -> Member | None:
        """The best by the first objective; between equals, by the next."""
        return self._directory.best

    # What comes next

    def _next_work(self) -> tuple[int, Work] | None:
        """What is to be done next, and the idle group that is to do it."""
        if not self._out_of_time:
            self._ask()
            for place in self._queue.places(self._groups.idle):
                member = place.member
                work = self._begin(OrderKind.TRAIN, member, member.weights_parents)
                if work is None:
                    continue
                if work.kind is OrderKind.TRAIN:
                    self._queue.take(place)
                    if place.group is not None and self._groups.is_idle(place.group):
                        return place.group, work
                return self._group_for(work), work
        if self._orders or (self.thinking and not self._out_of_time) or not self._dialogue.catch_up():
            return None
        assert self._out_of_time or self._dialogue.done, "the search asks for nobody though nobody is in flight"
        work = self._closing_work()
        return None if work is None else (self._group_for(work), work)

    def _closing_work(self) -> Work | None:
        """After the last evaluation; None: somebody has something to finish first."""
        best = self.best
        if best is not None and not self._tested:
            return self._begin(OrderKind.TEST, best, (best.id,))
        for member_id in self._directory.front.ids:
            if self._directory.is_lost(member_id):
                member = self._directory.member(member_id)
                return self._begin(OrderKind.RETRAIN, member, member.weights_parents)
            if self._directory.has_state(member_id) and not self._directory.is_durable(member_id):
                return None  # its file is being written; groups stop only when that is done
        return Work(OrderKind.STOP)

    def _ask(self) -> None:
        """Asks for as many members as have no group yet, those for later included."""
        if self._allotment is None:
            room = self._groups.num_idle + self._dialogue.prefetch * len(self._orders)
        else:
            room = self._allotment.num_groups(self._groups.num_idle_ranks)
        wanted = room - len(self._queue)
        members = self._dialogue.ask(wanted) if wanted > 0 else ()
        # A replay must not tell the search earlier what it did not know when it was asked.
        told = self._dialogue.told_when_asked
        late = {"told": told} if told < self._num_taken else {}
        for member in members:
            self._journal.record("ask", member=member.to_json(), **late)
            self._unwritten.add(member.id)
        self._queue.add(members)

    def _begin(self, kind: OrderKind, member: Member, states: tuple[int, ...]) -> Work | None:
        """Work that begins with these states; where one is lost, the work that brings it back.

        None while that is being done.
        """
        for state in states:
            if self._directory.is_lost(state):
                if state < 0:
                    raise SettingError(
                        f"the state of immigrant {state} is missing or damaged, and nobody here can train it again; "
                        "put its file back, or begin a new run"
                    )
                if any(
                    order.kind is OrderKind.RETRAIN and order.member and order.member.id == state
                    for order in self._orders.values()
                ):
                    return None
                lost = self._directory.member(state)
                return self._begin(OrderKind.RETRAIN, lost, lost.weights_parents)
        return Work(kind, member, tuple(state for state in states if self._directory.has_state(state)))

    def _look_ahead(self) -> list[tuple[int, Prefetch]]:
        """Earmarks members for busy groups, and has states fetched that these will begin with."""
        if not self._dialogue.prefetch or self._allotment is not None or self._out_of_time:
            return []
        if self._groups.num_idle:
            return []  # nobody is ahead; and an answer taken in here would not be handed out before the next report
        self._ask()
        messages = []
        for group, member in self._queue.earmark():
            absent = [i for i in member.weights_parents if (there := self._directory.holders(i)) and group not in there]
            if absent:
                messages.append((group, Prefetch(tuple(self._directory.source(i, group) for i in absent))))
        return messages

    # Who does it

    def _group_for(self, work: Work) -> int:
        """The idle group that suits best."""
        return self._groups.nearest(holder for state in work.states for holder in self._directory.holders(state))

    def _send(self, group: int, work: Work) -> tuple[int, Order]:
        self._groups.take(group)
        order = Order(work.kind, work.member, tuple(self._directory.source(state, group) for state in work.states))
        if work.member is not None:
            self._orders[group] = order
            self._journal.record("order", group=group, member_id=work.member.id, task=work.kind.value)
        if work.kind is OrderKind.TRAIN:
            self._queue.add_busy(group)
        return group, order

    def _with_drops(self, group: int, order: Order) -> Order:
        drops = self._directory.take_drops(group)
        return Order(order.kind, order.member, order.sources, drops, order.groups) if drops else order

    def _free(self, group: int) -> Order:
        """A group has done what it was ordered to."""
        self._groups.add_idle(group)
        self._queue.discard_busy(group)
        return self._orders.pop(group)

    def _regroup(self) -> Iterator[tuple[int, Order]]:
        """Forms other groups of idle ranks, where those suit the members that wait."""
        if self._allotment is None or not self._groups.num_idle or self._must_wait or self._out_of_time:
            return
        self._ask()
        if self._queue:
            promises = [self._directory.promise(member) for member in self._queue]
            sizes = self._allotment.sizes(promises, self._groups.num_idle_ranks)
            if sizes != self._groups.idle_sizes:
                for group, groups in self._groups.reform(sizes).items():
                    yield group, Order(OrderKind.REGROUP, groups=groups)

    @property
    def _must_wait(self) -> bool:
        """Whether groups are forming, or starting, that may share their ranks with those that are idle."""
        return self._allotment is not None and self._groups.forming

    def _tell_former_leaders(self) -> Iterator[tuple[int, Prefetch]]:
        """Who leads no more still keeps states, and gets no orders that say what to drop."""
        for leader in [leader for leader in self._directory.with_drops if leader not in self._groups]:
            yield leader, Prefetch(drop=self._directory.take_drops(leader))

    def _end(self) -> None:
        status = "complete" if self._dialogue.done else "max_seconds"
        front = list(self._directory.front.ids)
        if self._num_evaluated and not front:
            status = "failed"
        self._journal.record("end", status=status, front=front, ledger=dict(self._last_seconds))
        self._journal.flush()
        self._ended = True
        if self._migration:
            self._migration.end()

    # Other parts of the world

    def _emigrant(self) -> tuple[Member, Evaluation, int] | None:
        """Who goes to another part now, and to which: the best that has not gone before, once its state is on disk."""
        migration = self._migration
        if migration is None or self._ended or not migration.is_open(self._num_evaluated):
            return None
        for member_id in self._directory.front.ids:
            has_state = self._directory.has_state(member_id)
            if migration.has_left(member_id) or (has_state and not self._directory.is_durable(member_id)):
                continue
            part = migration.destination()
            if has_state:
                migration.hand_over(member_id, part)  # now, for its file may be removed before the letter is read
            migration.note(member_id, self._num_evaluated)
            self._journal.record("emigrate", member_id=member_id, part=part)
            return self._directory.member(member_id), self._directory.evaluation(member_id), part
        return None

    def _admit(self, migrant: Migrant) -> None:
        """Takes in a member of another part; where the search is over, it is late."""
        assert self._migration is not None
        if self._ended or self._dialogue.done:
            return
        member, evaluation = self._migration.admit(migrant)
        origin = {"part": migrant.part, "member_id": migrant.member.id}
        self._journal.record("immigrate", member=member.to_json(), evaluation=evaluation.to_json(), origin=origin)
        if evaluation.checksum is not None:
            self._directory.add_durable([member.id])
        self._tell(*self._take(member, evaluation))

    # What is kept

    def _take(self, member: Member, evaluation: Evaluation) -> tuple[Member, Evaluation]:
        """Takes in what is known of a member now; gives what the search is to be told."""
        self._num_taken += 1
        if member.id >= 0:
            self._num_evaluated += 1
            self._tested = False  # it may be better
        return member, self._directory.add(member, evaluation)

    def _tell(self, member: Member, evaluation: Evaluation) -> None:
        self._dialogue.tell(member, evaluation)

    def _wanted(self, asked: Iterable[Member] = (), untold: Iterable[tuple[Member, Evaluation]] = ()) -> set[int]:
        """Members whose state somebody may still begin with."""
        wanted = {*self._dialogue.needed(), *(member.id for member, _ in untold)}
        for member in (*asked, *self._queue):
            wanted.update(member.weights_parents)
        for order in self._orders.values():
            assert order.member is not None
            wanted.update(source.member_id for source in order.sources)
            if order.kind is OrderKind.RETRAIN:
                wanted.add(order.member.id)
        return wanted

    def _check_repeated(self, evaluation: Evaluation) -> None:
        journalled = self._directory.evaluation(evaluation.member_id)
        same = evaluation.values == journalled.values and evaluation.checksum == journalled.checksum
        if not same and self._repeatable and evaluation.ranks == journalled.ranks:
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
