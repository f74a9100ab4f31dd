"""What was lost and how it comes back: a run from its journal, a state by training its member again."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from nestedga.coordination.dialogue import Dialogue
from nestedga.coordination.dispatch import Dispatch, Work
from nestedga.coordination.event_log import EventLog
from nestedga.coordination.migration import Migration
from nestedga.coordination.state_directory import StateDirectory
from nestedga.errors import SettingError
from nestedga.population.member import Evaluation, Member
from nestedga.protocol.messages import Order, OrderKind
from nestedga.record.events import MemberAsked, MemberEmigrated
from nestedga.record.line import JournalLine
from nestedga.record.members import Told

MOST_FAILURES = 3  # in a row: how often one state is lost, trained again and not to be had, before the job gives up
FORGET_LINES = 10_000  # of a journal that is replayed, after which what nobody wants is let go


class Recovery:
    """Brings back what was lost.

    Args:
        log: of the run.
        states: where they are.
        dispatch: who does what.
        repeatable: a member trained again must come out the same.
    """

    def __init__(self, log: EventLog, states: StateDirectory, dispatch: Dispatch, *, repeatable: bool) -> None:
        self._log = log
        self._states = states
        self._dispatch = dispatch
        self._repeatable = repeatable
        self._failures: Counter[int] = Counter()  # in a row, by the member whose state was not to be had

    def replay(self, lines: Iterable[JournalLine], dialogue: Dialogue, migration: Migration | None) -> None:
        """Rebuilds search, directory and queue from a journal; members asked and not told wait again.

        The search is told of each evaluation where it was when it was running: before the same asks as then.
        """
        members, untold = self._log.members, deque[Told]()  # journalled while the search was thinking

        def tell_first(number: int) -> None:
            while dialogue.num_told < number:
                if not untold:
                    raise SettingError(
                        f"journal: the search was asked after {number} evaluations, and {dialogue.num_told} stand "
                        "before that; the file was changed or damaged: restore it"
                    )
                one = untold.popleft()
                dialogue.tell(one.member, one.minimised)

        for line, told in self._log.replayed(lines):
            if isinstance(line.event, MemberAsked):
                tell_first(members.num_told if line.event.told is None else line.event.told)
                dialogue.adopt(line.event.member)
            elif told is not None:
                self._states.add(told)
                untold.append(told)
            elif migration and isinstance(line.event, MemberEmigrated):
                migration.note(members)
            if line.number % FORGET_LINES == 0:  # so that a long journal is not held in memory whole
                dialogue.await_all_told()
                parents = (parent for member in members.waiting.values() for parent in member.weights_parents)
                self._states.forget({*dialogue.needed(), *parents, *(one.member.id for one in untold)})
        tell_first(members.num_told)
        dialogue.await_all_told()
        self._dispatch.queue.add(members.waiting[member_id] for member_id in sorted(members.waiting))
        self._states.find_files()

    def work(self, kind: OrderKind, member: Member, begins_with: tuple[int, ...]) -> Work | None:
        """Work that begins with these states; where one is lost, the work that brings it back.

        None while that is being done.

        Raises:
            SettingError: the lost one is an immigrant's.
        """
        for state in begins_with:
            if self._states.is_lost(state):
                if state < 0:
                    raise SettingError(
                        f"the state of immigrant {state} is missing or damaged, and nobody here can train it again; "
                        "put its file back, or begin a new run"
                    )
                return None if self._dispatch.is_retraining(state) else self.retraining(state)
        return Work(kind, member, tuple(filter(self._states.has_state, begins_with)))

    def retraining(self, member_id: int) -> Work | None:
        """The work that brings a lost state back; None while what it begins with is being brought back."""
        lost = self._states.member(member_id)
        return self.work(OrderKind.RETRAIN, lost, lost.weights_parents)

    def lose(self, group: int, order: Order, member_id: int) -> None:
        """A group could not have a state that its order begins with.

        Raises:
            SettingError: so it was several times in a row, though the member was trained again between.
        """
        was_lost = self._states.is_lost(member_id)  # several groups may have waited for it
        holders = [holder for source in order.sources if source.member_id == member_id for holder in source.holders]
        self._states.discard(member_id, (*holders, group))
        if self._states.is_lost(member_id) and not was_lost:
            self._failures[member_id] += 1
        if self._failures[member_id] == MOST_FAILURES:
            raise SettingError(
                f"the state of member {member_id} was not to be had {MOST_FAILURES} times in a row, from memory or "
                "from disk; see that the run folder can be written and read from every node, and that states.* leave "
                "room for it, then go on with resume=true"
            )
        if any(parent not in self._states for parent in self._states.member(member_id).weights_parents):
            for told in self._log.lineage(member_id):  # forgotten, for the state was safe
                if told.member.id not in self._states:
                    self._states.add(told)

    def obtained(self, order: Order) -> None:
        """An order was carried out, so its states were to be had."""
        if self._failures:
            for source in order.sources:
                self._failures.pop(source.member_id, None)

    def check_repeated(self, evaluation: Evaluation) -> None:
        """Compares what came out when a member was trained again with what is journalled.

        Raises:
            SettingError: it is another, or it failed.
        """
        journalled = self._states.evaluation(evaluation.member_id)
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
