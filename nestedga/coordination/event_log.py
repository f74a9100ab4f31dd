"""What happens in a run is written down and taken in with one call, so that a journal read again tells the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nestedga.population.member import Member
from nestedga.record import journal
from nestedga.record.events import Event, MemberAsked, MemberImmigrated, MemberTold
from nestedga.record.journal import Journal
from nestedga.record.line import JournalLine
from nestedga.record.members import Members, Told


class EventLog:
    """A journal, and what has become of the members that it tells of.

    Args:
        journal: to which events are appended.
        members: who were told of nothing yet.
    """

    def __init__(self, journal: Journal, members: Members) -> None:
        self.members = members
        self._journal = journal
        self._unwritten: set[int] = set()  # members asked that are not in the journal's file yet

    def append(self, event: Event) -> Told | None:
        """Something has happened; gives what the search is to be told with it, if anything."""
        self._journal.record(event)
        if isinstance(event, MemberAsked):
            self._unwritten.add(event.member.id)
        return self.members.take(event)

    def replayed(self, lines: Iterable[JournalLine]) -> Iterator[tuple[JournalLine, Told | None]]:
        """What happened before: takes in one line after the other, and gives it with what its event gave."""
        for line in lines:
            yield line, self.members.take(line.event)

    def is_written(self, member: Member) -> bool:
        """Whether the journal on disk says that a member was asked."""
        return member.id not in self._unwritten

    def flush(self) -> None:
        """All that has happened is on disk when this returns."""
        self._journal.flush()
        self._unwritten.clear()

    def lineage(self, member_id: int) -> list[Told]:
        """A member and all from whom its weights come, oldest first.

        It goes through the journal, for nobody remembers them for ever; they are wanted when a state was lost.
        """
        self.flush()
        path, parents = self._journal.path, {}
        for line in journal.lines(path):
            if isinstance(line.event, MemberAsked):
                parents[line.event.member.id] = line.event.member.weights_parents
        wanted: set[int] = set()
        rest = [member_id]
        while rest:
            if (one := rest.pop()) not in wanted:
                wanted.add(one)
                rest += parents.get(one, ())
        again = Members(self.members.modes)
        told = (again.take(line.event) for line in journal.lines(path) if _member_of(line.event) in wanted)
        return [one for one in told if one]


def _member_of(event: Event) -> int | None:
    """Of whom an event tells that makes a member known."""
    match event:
        case MemberAsked(member) | MemberImmigrated(member):
            return member.id
        case MemberTold(_, evaluation):
            return evaluation.member_id
    return None
