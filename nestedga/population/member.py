"""The two things that travel between search, coordinator and groups: a member and its evaluation.

Frozen data; imports nothing of ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

GeneValue = float | int | bool | str | list[Any] | dict[str, Any]
"""Plain data as JSON has them, never changed once made: lists and mappings are shared by all who hold them."""
Genotype = dict[str, GeneValue]
"""Override path to value, e.g. ``{"optimizer.lr": 0.1, "optimizer.betas": [0.9, 0.999]}``."""


class Status(str, Enum):
    """How an interval ended."""

    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class Member:
    """One individual of one generation: a genotype and the weights it inherits.

    Attributes:
        id: unique in a run; every random draw of the member is keyed by it.
        slot: the place in the population; schedules are drawn per slot.
        generation: how many breedings lie behind it.
        genotype: override path to value.
        hyper_parents: whose genes were bred into this one.
        weights_parents: whose states it inherits, ``()`` for fresh weights; the lineage follows the first.
        budget: length of the interval, in the unit of the evaluator (epochs or steps).
        inheritance: what the state that it begins with takes from its weights parents: ``clone`` (all, of the first),
            ``average`` of two, ``layerwise`` (each layer of one of two); see ``states/inheritance.py``.
    """

    id: int
    slot: int
    generation: int
    genotype: Genotype
    hyper_parents: tuple[int, ...]
    weights_parents: tuple[int, ...]
    budget: int
    inheritance: str = "clone"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a group hands in after one interval.

    Attributes:
        member_id: the member that was trained.
        fom: the figure of merit; NaN unless ``status`` is OK. With several objectives, the first of them.
        status: how the interval ended.
        metrics: every metric of the fitness split by name.
        seconds: duration of the interval on the group.
        ledger: seconds of the group since its previous evaluation, by activity.
        ranks: how many ranks trained it.
        checksum: CRC-32 of the packed state it ended with; None where there is no state.
        message: one line for people; for a failure, what went wrong.
        log: of a failure, the end of the trace-back or of what a program printed.
        objectives: every objective, the FoM first, where there is more than one; else empty.
    """

    member_id: int
    fom: float
    status: Status = Status.OK
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    ledger: dict[str, float] = field(default_factory=dict)
    ranks: int = 1
    checksum: int | None = None
    message: str = ""
    log: str = ""
    objectives: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        # A figure of merit that is not a number is a failure, whoever reports it, so that no search meets one.
        bad = [value for value in self.values if not math.isfinite(value)]
        if self.status is Status.OK and bad:
            object.__setattr__(self, "status", Status.FAILED)
            object.__setattr__(self, "message", self.message or f"the figure of merit is {bad[0]}")
        if self.status is not Status.OK:
            object.__setattr__(self, "fom", math.nan)
            object.__setattr__(self, "objectives", ())

    @property
    def values(self) -> tuple[float, ...]:
        """All objectives, one or more."""
        return self.objectives or (self.fom,)

    @property
    def ok(self) -> bool:
        return self.status is Status.OK

    def minimised(self, modes: Sequence[str]) -> Evaluation:
        """What a search is told and may remember of many: the outcome, with objectives to be minimised.

        Args:
            modes: the user's, ``min`` or ``max`` for each objective.
        """
        if not self.ok:
            return Evaluation(self.member_id, math.nan, self.status)
        values = signed(self.values, modes)
        return Evaluation(self.member_id, values[0], objectives=values if self.objectives else ())


def signed(values: Sequence[float], modes: Sequence[str]) -> tuple[float, ...]:
    """Objectives in the user's sign as minimised ones, and the reverse: those to be maximised change theirs."""
    return tuple(-value if mode == "max" else value for value, mode in zip(values, modes, strict=True))
