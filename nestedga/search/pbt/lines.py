"""The lines of population based training: what is known of a slot and of the lineage of its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from sortedcontainers import SortedKeyList

from nestedga.population.member import Evaluation, Member
from nestedga.search.base.ranking import ranked


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A slot after an interval, with its past; the past goes with the weights, so that a copy has its donor's.

    Attributes:
        member: who was trained in the interval.
        evaluation: how it went.
        recent: figures of merit of the last intervals along the lineage, this one included, oldest first.
        before: the best of the lineage where it is an older one; None: it is this one. See ``best``.
        stalled: intervals since the lineage's best, or since it was restored.
    """

    member: Member
    evaluation: Evaluation
    recent: tuple[float, ...] = ()
    before: Line | None = None
    stalled: int = 0

    @property
    def slot(self) -> int:
        return self.member.slot

    @property
    def ok(self) -> bool:
        return self.evaluation.ok

    @property
    def best(self) -> Line:
        """The best of the lineage so far."""
        return self.before or self


def prolonged(parent: Line | None, member: Member, evaluation: Evaluation, window: int) -> Line:
    """The line after one more interval; ``parent`` is the one whose weights the member began with."""
    if parent is None:
        return Line(member, evaluation, (evaluation.fom,))
    recent = (*parent.recent, evaluation.fom)[-window:]
    if _dominates(evaluation, parent.best.evaluation):
        return Line(member, evaluation, recent)
    return Line(member, evaluation, recent, parent.best, parent.stalled + 1)


def _dominates(a: Evaluation, b: Evaluation) -> bool:
    """Better in one objective and worse in none; for one objective: smaller."""
    return a.ok and a.values != b.values and all(x <= y for x, y in zip(a.values, b.values, strict=True))


_by_fom = attrgetter("evaluation.fom", "member.id")


class Standings:
    """The latest line of every slot, and the order of those that did not fail.

    With one objective a line is put at its place when it comes in, which is what makes a search without a barrier fast;
    with several, every line moves others, and all are ranked when somebody asks.
    """

    def __init__(self) -> None:
        self.lines: dict[int, Line] = {}
        """By slot."""
        self._by_id: dict[int, Line] = {}
        self._order = SortedKeyList(key=_by_fom)  # those that did not fail
        self._ranked: list[Line] | None = None  # the same, by several objectives

    def put(self, line: Line) -> None:
        """Takes the place of the slot's line before."""
        before = self.lines.get(line.slot)
        self.lines[line.slot] = line
        self._by_id[line.member.id] = line
        if before is not None:
            del self._by_id[before.member.id]
            if before.ok:
                self._order.remove(before)
        if line.ok:
            self._order.add(line)
        self._ranked = None

    @property
    def order(self) -> Sequence[Line]:
        """Lines that did not fail, best first."""
        if not self._order or not self._order[0].evaluation.objectives:
            order: Sequence[Line] = self._order
            return order
        if self._ranked is None:
            by_id = {line.member.id: line for line in self._order}
            self._ranked = [by_id[e.member_id] for e in ranked(line.evaluation for line in self._order)]
        return self._ranked

    def line_of(self, member_id: int) -> Line:
        """The line that ends with a member, or the best of a lineage."""
        if member_id in self._by_id:
            return self._by_id[member_id]
        return next(line.best for line in self.lines.values() if line.best.member.id == member_id)
