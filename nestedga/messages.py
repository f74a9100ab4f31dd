"""What coordinator and leaders say to each other. Frozen data; one report in and one order out per evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from nestedga.member import Evaluation, Member


class Task(Enum):
    """What a group is to do."""

    TRAIN = "train"
    RETRAIN = "retrain"  # an interval again whose state was lost; it must give the journalled evaluation
    TEST = "test"  # read the test split, once, with the best member's weights
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Order:
    """Coordinator to leader.

    Attributes:
        task: what to do.
        member: with whom; None for STOP.
        sources: the states it begins with: (member id, groups that hold it, best first).
        drop: states that nobody wants any more.
    """

    task: Task
    member: Member | None = None
    sources: tuple[tuple[int, tuple[int, ...]], ...] = ()
    drop: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Ready:
    """A group waits for its first order."""

    group: int


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A group has trained its member, holds the state, and waits for the next order."""

    group: int
    evaluation: Evaluation


@dataclass(frozen=True, slots=True)
class Tested:
    """A group has read the test split, and waits for the next order."""

    group: int
    metrics: dict[str, float]
    ledger: dict[str, float]


@dataclass(frozen=True, slots=True)
class Holding:
    """A group has fetched a state and is a source for it from now on."""

    group: int
    member_id: int


@dataclass(frozen=True, slots=True)
class Durable:
    """A state is on disk."""

    member_id: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """A group has left; its last seconds."""

    group: int
    ledger: dict[str, float]


Report = Ready | Evaluated | Tested | Holding | Durable | Stopped
