"""Where in a journal each member stands: its lines are read again when they are asked for, and not kept."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

from nestedga.population.member import Evaluation, Member
from nestedga.record import journal
from nestedga.record.events import MemberAsked, MemberImmigrated, MemberTold
from nestedga.record.line import JournalLine


class Offsets:
    """16 bytes of each member, so that a million fit.

    Args:
        path: of the journal; lines are read from it once they are on disk.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._asks = array("q")  # in bytes, by member id; -1: none
        self._tells = array("q")
        self._immigrants: dict[int, int] = {}  # by their id, which is negative

    def take(self, line: JournalLine) -> None:
        """Notes where a line stands that tells of a member."""
        match line.event:
            case MemberAsked(member):
                _put(self._asks, member.id, line.offset)
            case MemberTold(_, evaluation):
                _put(self._tells, evaluation.member_id, line.offset)
            case MemberImmigrated(member):
                self._immigrants[member.id] = line.offset

    def was_asked(self, member_id: int) -> bool:
        return 0 <= member_id < len(self._asks) and self._asks[member_id] >= 0

    def was_told(self, member_id: int) -> bool:
        return 0 <= member_id < len(self._tells) and self._tells[member_id] >= 0

    @property
    def last_id(self) -> int:
        """The highest id of a member; -1 before there is one."""
        return len(self._asks) - 1

    def member(self, member_id: int) -> Member:
        """A member that was asked, or has immigrated."""
        event = journal.read_at(self._path, self._immigrants[member_id] if member_id < 0 else self._asks[member_id])
        assert isinstance(event, MemberAsked | MemberImmigrated)
        return event.member

    def evaluation(self, member_id: int) -> Evaluation:
        """The evaluation of a member that was told, or has immigrated."""
        event = journal.read_at(self._path, self._immigrants[member_id] if member_id < 0 else self._tells[member_id])
        assert isinstance(event, MemberTold | MemberImmigrated)
        return event.evaluation

    def lineage(self, member_id: int) -> list[Member]:
        """The members through whose training the weights of this one came, oldest first.

        It ends at an immigrant, whose own lineage another journal tells.
        """
        return list(self._line_of_descent(member_id))[::-1]

    def _line_of_descent(self, member_id: int) -> Iterator[Member]:
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
