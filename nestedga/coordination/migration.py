"""Between a part of the world and the others, where each has a coordinator of its own: who goes where, and when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from nestedga.coordination.state_directory import StateDirectory
from nestedga.population.keys import rng_for
from nestedga.protocol.messages import Ended, Letter, Migrant
from nestedga.record.events import MemberEmigrated, MemberImmigrated, Origin
from nestedga.record.members import Members


class MigrationFiles(Protocol):
    """How the files of states go from part to part."""

    def hand_over(self, member_id: int, part: int) -> None:
        """Puts a state of this part where another finds it, whatever becomes of it here."""
        ...

    def take_in(self, part: int, member_id: int, own_id: int) -> None:
        """Makes another part's state one of this part's."""
        ...


class Migration:
    """The migration of one part.

    Args:
        part: its number, from 0.
        num_parts: of all.
        interval: evaluations of this part between two emigrations, at least; None: nobody emigrates.
        topology: where emigrants go: ``ring``, to the next part; ``random``, to any other with equal chance.
        seed: of these draws.
        files: for states.
        post: sends a letter to the coordinator of a part; does not wait.

    Attributes:
        running: the other parts that have not ended.
    """

    def __init__(
        self,
        part: int,
        num_parts: int,
        *,
        interval: int | None,
        topology: str,
        seed: int,
        files: MigrationFiles,
        post: Callable[[int, Letter], None],
    ) -> None:
        self.running = set(range(num_parts)) - {part}
        self._part = part
        self._num_parts = num_parts
        self._interval = interval
        self._topology = topology
        self._seed = seed
        self._files = files
        self._post = post
        self._evaluated_at_last = 0  # evaluations of this part at the last emigration

    # Out

    def emigrant(self, members: Members, states: StateDirectory) -> MemberEmigrated | None:
        """Who goes to another part now: the best that has not gone before, once its state is on disk.

        The state waits for it there from now on, for its file may be removed here before the letter is read.
        """
        due = self._interval is not None and members.num_evaluated - self._evaluated_at_last >= self._interval
        if not due or not self.running:
            return None
        for member_id in members.front.ids:
            has_state = states.has_state(member_id)
            if member_id in members.emigrants or (has_state and not states.is_durable(member_id)):
                continue  # nobody goes twice
            part = self._destination(len(members.emigrants))
            if has_state:
                self._files.hand_over(member_id, part)
            return MemberEmigrated(member_id, part)
        return None

    def note(self, members: Members) -> None:
        """Somebody has emigrated."""
        self._evaluated_at_last = members.num_evaluated

    def send(self, event: MemberEmigrated, states: StateDirectory) -> None:
        """The letter goes out, once the journal says so on disk."""
        member, evaluation = states.member(event.member_id), states.evaluation(event.member_id)
        self._post(event.part, Migrant(self._part, member, evaluation))

    def end(self) -> None:
        """Tells all others that this part has ended."""
        for part in set(range(self._num_parts)) - {self._part}:
            self._post(part, Ended(self._part))

    def _destination(self, num_gone: int) -> int:
        """Where the next emigrant goes; parts that have ended are passed over."""
        others = sorted(self.running, key=lambda part: (part - self._part) % self._num_parts)
        if self._topology == "ring":
            return others[0]
        rng = rng_for(self._seed, num_gone)
        return others[int(rng.integers(len(others)))]

    # In

    def admit(self, migrant: Migrant, members: Members) -> MemberImmigrated:
        """An immigrant as a member of this part: its parents are elsewhere, and its id is -1, -2, ... in turn."""
        own_id = -1 - len(members.origins)
        if migrant.evaluation.checksum is not None:
            self._files.take_in(migrant.part, migrant.member.id, own_id)
        member = replace(migrant.member, id=own_id, hyper_parents=(), weights_parents=(), inheritance="clone")
        evaluation = replace(migrant.evaluation, member_id=own_id, ledger={})
        return MemberImmigrated(member, evaluation, Origin(migrant.part, migrant.member.id))
