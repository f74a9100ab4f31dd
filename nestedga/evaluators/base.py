"""What every evaluator promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from nestedga.ledger import Ledger
from nestedga.member import Member
from nestedga.state import State
from nestedga.watchdog import Watchdog

Settings = Mapping[str, Any]
"""A member's configuration: the base with its genotype applied, plain values only."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an evaluator works; plain values, so that it needs no MPI.

    Attributes:
        comm: the group's communicator, to be handed to Horovod untouched.
        group: number of the group.
        inner_rank, inner_size: position in the group and its size.
        node_rank: position on the node, from which the device is taken.
        ledger: seconds by activity.
        watchdog: to be given a ``beat`` now and then (every step): a rank silent for too long is taken for hung.
    """

    comm: Any
    group: int
    inner_rank: int
    inner_size: int
    node_rank: int
    ledger: Ledger
    watchdog: Watchdog


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

    def open(self, place: Place, settings: Settings) -> None:
        """Gets ready on this rank with the base settings; raises SettingError for what can never work."""
        ...

    def train(self, member: Member, settings: Settings, parents: tuple[State, ...]) -> Result:
        """Trains one interval from the parents' states (none: fresh) and measures on the fitness split."""
        ...

    def test(self, member: Member, settings: Settings, state: State | None) -> dict[str, float]:
        """Metrics of the test split for a trained state."""
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
