"""What every evaluator promises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from nestedga.population.member import Member
from nestedga.rank.place import Place, Settings
from nestedga.states.state import State


@dataclass(frozen=True, slots=True)
class Result:
    """What an interval gives: metrics of the fitness split by name, and the state a child may inherit (or None)."""

    metrics: dict[str, float]
    state: State | None


class Evaluator(Protocol):
    """Trains members. All ranks of a group call every method together.

    A member's failure is an exception out of ``train``; the worker makes a failed evaluation of it.
    """

    metrics: tuple[str, ...]
    """Names that ``train`` reports."""

    sections: tuple[str, ...]
    """Sections of the configuration from which it reads a member's settings: where genes may lie."""

    repeatable: bool
    """Whether a member that is trained again, by as many ranks of the same machine, comes out the same to the bit;
    known once it is open."""

    def open(self, place: Place, settings: Settings) -> None:
        """Gets ready on this rank with the base settings; raises SettingError for what can never work."""
        ...

    def check(self, settings: Settings) -> None:
        """Raises SettingError for settings of a member that can never work, as far as can be told at once."""
        ...

    def train(self, member: Member, settings: Settings, parent: State | None) -> Result:
        """Trains one interval from the parent's state (None: fresh) and measures on the fitness split.

        ``member.inheritance`` says how the parent's state was made of those of the member's parents.
        """
        ...

    def test(self, member: Member, settings: Settings, state: State | None) -> dict[str, float]:
        """Metrics of the test split for a trained state."""
        ...

    def move(self, place: Place) -> None:
        """This rank belongs to another group from now on; the communicator of the one before may be gone already."""
        ...

    def release(self) -> None:
        """After an exception on this rank: lets the partners go that wait for it in a collective."""
        ...

    def restart(self) -> None:
        """After a release somewhere in the group: gets collectives going again."""
        ...

    def close(self) -> None:
        """The run is over."""
        ...
