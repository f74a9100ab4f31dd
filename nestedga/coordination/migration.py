"""Between a part of the world and the others, where each has a coordinator of its own: who goes where, and when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np

from nestedga.population.member import Evaluation, Member
from nestedga.protocol.messages import Ended, Letter, Migrant


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
        self._emigrants: set[int] = set()
        self._told_at_last = 0  # evaluations of this part at the last emigration
        self._num_immigrants = 0

    # Out

    def is_open(self, num_told: int) -> bool:
        """Whether somebody may emigrate, after so many evaluations of this part."""
        due = self._interval is not None and num_told - self._told_at_last >= self._interval
        return due and bool(self.running)

    def has_left(self, member_id: int) -> bool:
        """Whether a member has emigrated; nobody does so twice."""
        return member_id in self._emigrants

    def destination(self) -> int:
        """Where the next emigrant goes; parts that have ended are passed over."""
        others = sorted(self.running, key=lambda part: (part - self._part) % self._num_parts)
        if self._topology == "ring":
            return others[0]
        rng = np.random.default_rng([self._seed, len(self._emigrants)])
        return others[int(rng.integers(len(others)))]

    def hand_over(self, member_id: int, part: int) -> None:
        """Its state waits for it there from now on."""
        self._files.hand_over(member_id, part)

    def note(self, member_id: int, num_told: int) -> None:
        """A member has emigrated, after so many evaluations of this part."""
        self._emigrants.add(member_id)
        self._told_at_last = num_told

    def send(self, member: Member, evaluation: Evaluation, part: int) -> None:
        """The letter goes out; its state must have been handed over."""
        self._post(part, Migrant(self._part, member, evaluation))

    def end(self) -> None:
        """Tells all others that this part has ended."""
        for part in set(range(self._num_parts)) - {self._part}:
            self._post(part, Ended(self._part))

    # In

    def admit(self, migrant: Migrant) -> tuple[Member, Evaluation]:
        """An immigrant as a member of this part: its parents are elsewhere, and its id is -1, -2, ... in turn."""
        own_id = -1 - self._num_immigrants
        if migrant.evaluation.checksum is not None:
            self._files.take_in(migrant.part, migrant.member.id, own_id)
        self._num_immigrants += 1
        member = replace(migrant.member, id=own_id, hyper_parents=(), weights_parents=(), inheritance="clone")
        return member, replace(migrant.evaluation, member_id=own_id, ledger={})

    def readmit(self) -> None:
        """From the journal: somebody was admitted."""
        self._num_immigrants += 1
