"""The coordinator: owns the only search and the journal, and decides what each group does next.

It conducts; each of its parts does one thing: the dialogue with the search, the log of events, the directory of states,
dispatch, recovery, regrouping, migration. No MPI and no torch here: reports come in, orders go out. Rule of the house:
journalled before sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from nestedga.coordination.allocation import Allocation
from nestedga.coordination.dialogue import Dialogue
from nestedga.coordination.dispatch import Dispatch, Work
from nestedga.coordination.event_log import EventLog
from nestedga.coordination.groups import Groups
from nestedga.coordination.migration import Migration
from nestedga.coordination.recovery import Recovery
from nestedga.coordination.regrouping import Regrouping
from nestedga.coordination.state_directory import StateDirectory, StateFiles
from nestedga.coordination.thinker import Thinker
from nestedga.population.member import Evaluation, Member
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
    Unobtainable,
)
from nestedga.record.events import (
    Event,
    MemberAsked,
    MemberEmigrated,
    MemberRetrained,
    MemberTold,
    OrderFailed,
    OrderSent,
    RunEnded,
    TestRead,
)
from nestedga.record.line import JournalLine


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for a run, whatever its search.

    Attributes:
        allocation: forms other groups of idle ranks; None: the groups stay.
        max_seconds: nothing is handed out later than this after the start; None: there is no limit.
        repeatable: a member trained again must come out the same.
    """

    allocation: Allocation | None = None
    max_seconds: float | None = None
    repeatable: bool = True


class Coordinator:
    """Decides, one batch of reports at a time.

    Args:
        thinker: where the search thinks, which was told nothing yet.
        log: of the run, empty or to be filled by ``replay``.
        files: durable copies of states.
        groups: which will report.
        rules: of the run.
        migration: with parts of the world that have coordinators of their own; None: there are none.
        clock: seconds, monotonic; a simulation brings its own.
    """

    def __init__(
        self,
        thinker: Thinker,
        log: EventLog,
        files: StateFiles,
        groups: Groups,
        rules: Rules,
        migration: Migration | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._members = log.members
        self._groups = groups
        self._migration = migration
        self._clock = clock
        self._deadline = None if rules.max_seconds is None else clock() + rules.max_seconds
        self._dialogue = Dialogue(thinker)
        self._states = StateDirectory(files, groups.nodes, log.members)
        self._dispatch = Dispatch(groups, self._states, by_promise=rules.allocation is not None or groups.differ)
        self._recovery = Recovery(log, self._states, self._dispatch, repeatable=rules.repeatable)
        self._regrouping = Regrouping(groups, rules.allocation)
        self._out_of_time = False
        self._num_changes = 0  # since states were let go
        self._ended = False

    @property
    def thinking(self) -> bool:
        """Whether the search is still thinking, so that ``decide`` is worth a call without a report."""
        return self._dialogue.thinking

    @property
    def finished(self) -> bool:
        """Whether the run is over, and nobody writes to this coordinator any more."""
        return self._ended and not (self._migration and self._migration.running)

    @property
    def best(self) -> Member | None:
        """The best by the first objective; between equals, by the next."""
        ids = self._members.front.ids
        return self._states.member(ids[0]) if ids else None

    def replay(self, lines: Iterable[JournalLine]) -> None:
        """Goes on from a journal; members asked and not told are handed out again."""
        self._recovery.replay(lines, self._dialogue, self._migration)
        self._forget()

    def receive(self, report: Report | Letter) -> None:
        """Takes in one report of a leader, or one letter of another coordinator."""
        match report:
            case Evaluated(group, evaluation, durable):
                self._states.add_durable(durable)
                self._take_evaluation(group, evaluation)
            case Ready(group):
                self._groups.add_ready(group)
            case Tested(group, metrics, ledger):
                order, member = self._dispatch.finish(group)
                self._recovery.obtained(order)
                self._log.append(TestRead(group, member.id, metrics, ledger))
            case Unobtainable(group, state_id, ledger):
                order, member = self._dispatch.finish(group)
                self._log.append(OrderFailed(group, member.id, state_id, ledger))
                self._recovery.lose(group, order, state_id)
                if order.kind is OrderKind.TRAIN:
                    self._dispatch.queue.put_back(member)
            case Durable(_, member_ids):
                self._states.add_durable(member_ids)
            case Dissolved(_, ledger):
                if event := self._regrouping.dissolve(ledger):
                    self._log.append(event)
            case Stopped(group, ledger, durable):
                self._states.add_durable(durable)
                if self._regrouping.stop(group, ledger):
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
        while self._groups.num_idle and not self._regrouping.must_wait and (found := self._next_work()) is not None:
            orders.append(self._send(*found))
        # Amortised, for it goes through all that is known: at least one change in thirty-two of them.
        if self._num_changes * 32 > max(len(self._states), len(self._dispatch.orders)):
            self._forget()
        if any(order.member is not None and not self._log.is_written(order.member) for _, order in orders):
            self._log.flush()
        return [(group, self._dispatch.with_drops(group, order)) for group, order in orders]

    def prepare(self) -> list[tuple[int, Prefetch]]:
        """What no group waits for, once its order is out: asks ahead, brings the journal to disk, removes files.

        Gives messages to busy leaders, and to those that lead no more.
        """
        emigrant = self._emigrate()
        messages = list(self._look_ahead())
        if self._regrouping.goes_on:
            messages += self._dispatch.drops_of_former_leaders()
        self._log.flush()
        self._states.remove_files()
        if self._migration and emigrant:
            self._migration.send(emigrant, self._states)
        return messages

    # What comes next

    def _next_work(self) -> tuple[int, Work] | None:
        """What is to be done next, and the idle group that is to do it."""
        if not self._out_of_time:
            self._ask()
            if (found := self._dispatch.next_work(self._training)) is not None:
                return found
        waits = self._dialogue.thinking and not self._out_of_time
        if self._dispatch.orders or waits or not self._dialogue.catch_up():
            return None
        assert self._out_of_time or self._dialogue.done, "the search asks for nobody though nobody is in flight"
        work = self._closing_work()
        return None if work is None else (self._dispatch.group_for(work), work)

    def _training(self, member: Member) -> Work | None:
        return self._recovery.work(OrderKind.TRAIN, member, member.weights_parents)

    def _closing_work(self) -> Work | None:
        """After the last evaluation; None: somebody has something to finish first."""
        best = self.best
        if best is not None and not self._members.tested:
            return self._recovery.work(OrderKind.TEST, best, (best.id,))
        for member_id in self._members.front.ids:
            if self._states.is_being_written(member_id):
                return None  # groups stop only when that is done
            if self._states.has_state(member_id) and not self._states.is_durable(member_id):
                return self._recovery.retraining(member_id)  # lost, or nobody who would write it has it
        return Work(OrderKind.STOP)

    def _ask(self) -> None:
        """Asks for as many members as have no group yet, those for later included."""
        room = self._regrouping.num_possible
        if not self._regrouping.goes_on:
            room += self._dialogue.prefetch * len(self._dispatch.orders)
        wanted = room - len(self._dispatch.queue)
        members = self._dialogue.ask(wanted) if wanted > 0 else ()
        for member in members:
            # A replay must not tell the search earlier what it did not know when it was asked.
            self._log.append(MemberAsked(member, self._dialogue.told_when_asked))
        if members:
            self._dispatch.queue.add(members)

    def _look_ahead(self) -> Iterator[tuple[int, Prefetch]]:
        """Asks for members that busy groups train next, and has states fetched for them."""
        if not self._dialogue.prefetch or self._regrouping.goes_on or self._out_of_time:
            return
        if self._groups.num_idle:
            return  # nobody is ahead; and an answer taken in here would not be handed out before the next report
        self._ask()
        yield from self._dispatch.prefetches()

    # Who does it

    def _send(self, group: int, work: Work) -> tuple[int, Order]:
        order = self._dispatch.send(group, work)
        if work.member is not None:
            self._log.append(OrderSent(group, work.member.id, work.kind))
        return group, order

    def _regroup(self) -> Iterator[tuple[int, Order]]:
        if self._regrouping.may and not self._out_of_time:
            self._ask()
            yield from self._regrouping.orders([self._states.promise(member) for member in self._dispatch.queue])

    # What has come in

    def _take_evaluation(self, group: int, evaluation: Evaluation) -> None:
        order, member = self._dispatch.finish(group)
        assert member.id == evaluation.member_id
        self._recovery.obtained(order)
        if order.kind is OrderKind.RETRAIN:
            self._log.append(MemberRetrained(group, member.id, evaluation.ledger))
            self._recovery.check_repeated(evaluation)
        else:
            self._tell(MemberTold(group, evaluation))
        if evaluation.ok and evaluation.checksum is not None:
            self._states.add_holder(member.id, group)

    def _tell(self, event: Event) -> None:
        """Somebody was evaluated, here or elsewhere."""
        told = self._log.append(event)
        assert told is not None
        self._states.add(told)
        self._dialogue.tell(told.member, told.minimised)

    def _end(self) -> None:
        status = "complete" if self._dialogue.done else "max_seconds"
        front = tuple(self._members.front.ids)
        if self._members.num_evaluated and not front:
            status = "failed"
        self._log.append(RunEnded(status, front, dict(self._regrouping.last_seconds)))
        self._log.flush()
        self._ended = True
        if self._migration:
            self._migration.end()

    def _forget(self) -> None:
        """Lets go of states that nobody wants."""
        self._num_changes = 0
        self._states.forget({*self._dialogue.needed(), *self._dispatch.wanted()})

    # Other parts of the world

    def _emigrate(self) -> MemberEmigrated | None:
        """Sends the best to another part, where that is due."""
        if self._migration is None or self._ended:
            return None
        event = self._migration.emigrant(self._members, self._states)
        if event:
            self._log.append(event)
            self._migration.note(self._members)
        return event

    def _admit(self, migrant: Migrant) -> None:
        """Takes in a member of another part; where the search is over, it is late."""
        assert self._migration is not None
        if self._ended or self._dialogue.done:
            return
        event = self._migration.admit(migrant, self._members)
        if event.evaluation.checksum is not None:
            self._states.add_durable([event.member.id])
        self._tell(event)
