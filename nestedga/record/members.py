"""What has become of members, as events tell it: the part of a run's story that deciding needs as well as showing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from nestedga.population.member import Evaluation, Member
from nestedga.record.events import (
    Event,
    MemberAsked,
    MemberEmigrated,
    MemberImmigrated,
    MemberTold,
    Origin,
    TestRead,
)
from nestedga.record.front import Front


class Impossible(ValueError):
    """An event cannot follow those before it; says why in a clause, for whoever knows where it stands to complete."""


class Told(msgspec.Struct, frozen=True):
    """An evaluation that came in.

    Attributes:
        member: who was trained, here or, of an immigrant, elsewhere.
        evaluation: and how well, in the user's sign.
        minimised: the outcome alone, as a search is told.
    """

    member: Member
    evaluation: Evaluation
    minimised: Evaluation


class Members:
    """Takes in events one by one, as they are journalled or read again.

    Args:
        modes: ``min`` or ``max`` for each objective: the user's sign.
        last_counts: the result is the last member that succeeded, and not the best.

    Attributes:
        modes: as given.
        waiting: members asked and not told, by id, in the order of asking.
        front: the Pareto front of those told, with minimised objectives; an immigrant may be in it only where it comes
            from.
        num_evaluated: members told.
        num_told: these and immigrants.
        origins: of immigrants, by their id here.
        emigrants: ids of members that have gone to another part of the world.
        tested: the test split was read, and nobody was told since.
    """

    def __init__(self, modes: Sequence[str], last_counts: bool = False) -> None:
        self.modes = tuple(modes)
        self.waiting: dict[int, Member] = {}
        self.front = Front(last_counts)
        self.num_evaluated = 0
        self.origins: dict[int, Origin] = {}
        self.emigrants: set[int] = set()
        self.tested = False
        self._by_kind: dict[type[Event], Callable[[Any], Told | None]] = {
            MemberAsked: self._ask,
            MemberTold: self._tell,
            MemberImmigrated: self._admit,
            MemberEmigrated: self._let_go,
            TestRead: self._test,
        }

    @property
    def num_told(self) -> int:
        return self.num_evaluated + len(self.origins)

    def take(self, event: Event) -> Told | None:
        """Takes in one event; gives what the search is to be told with it, if anything.

        Raises:
            Impossible: it cannot follow those before it.
        """
        # By its class, for this is called three times for each evaluation, and most events say nothing of members.
        take = self._by_kind.get(type(event))
        return None if take is None else take(event)

    def _ask(self, event: MemberAsked) -> None:
        member = event.member
        if member.id in self.waiting:
            raise Impossible(f"member {member.id} is asked for twice")
        self.waiting[member.id] = member

    def _tell(self, event: MemberTold) -> Told:
        evaluation = event.evaluation
        member = self.waiting.pop(evaluation.member_id, None)
        if member is None:
            raise Impossible(f"member {evaluation.member_id} is told, and nobody waits for it")
        told = Told(member, evaluation, evaluation.minimised(self.modes))
        self.num_evaluated += 1
        self.tested = False
        if told.minimised.ok:
            self.front.add(member.id, told.minimised.values)
        return told

    def _admit(self, event: MemberImmigrated) -> Told:
        member = event.member
        if member.id in self.origins:
            raise Impossible(f"immigrant {member.id} is admitted twice")
        self.origins[member.id] = event.origin
        return Told(member, event.evaluation, event.evaluation.minimised(self.modes))

    def _let_go(self, event: MemberEmigrated) -> None:
        if event.member_id in self.emigrants:
            raise Impossible(f"member {event.member_id} emigrates twice")
        self.emigrants.add(event.member_id)

    def _test(self, event: TestRead) -> None:
        self.tested = True
