"""Rate schedules, of the learning rate: pure functions of the epochs trained along the lineage.

A schedule gives the factor on the rate that ``optimizer.lr`` (scaled for the batch) names, so a gene may be the rate, a
parameter of the schedule, or both; and a child goes on where its parent stood. A user's own is any callable object of
the same kind.

All begin with gradual warm-up (Goyal et al. 2017, arXiv:1706.02677, section 2.2), here from zero, linear in the epochs.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from nestedga.errors import SettingError


class RateSchedule(Protocol):
    """What the section ``schedule`` builds."""

    def __call__(self, epochs: float) -> float:
        """The factor on the learning rate, 0 or more, after so many epochs."""
        ...


@dataclass(frozen=True, kw_only=True)
class Constant:
    """The rate as it is.

    Args:
        warmup: epochs from zero to the whole rate.

    Raises:
        SettingError: for a negative warm-up.
    """

    warmup: float = 0.0

    def __post_init__(self) -> None:
        if self.warmup < 0:
            raise SettingError(f"schedule.warmup={self.warmup:g} must be 0 or more epochs")

    def __call__(self, epochs: float) -> float:
        return epochs / self.warmup if epochs < self.warmup else self._after(epochs)

    def _after(self, epochs: float) -> float:
        return 1.0


@dataclass(frozen=True, kw_only=True)
class Step(Constant):
    """Times ``gamma`` at every milestone.

    Args:
        milestones: epochs, ascending.
        gamma: above 0, at most 1.
    """

    milestones: Sequence[float]
    gamma: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(later <= earlier for earlier, later in pairwise(self.milestones)):
            raise SettingError(f"schedule.milestones={list(self.milestones)} must ascend")
        if not 0 < self.gamma <= 1:
            raise SettingError(f"schedule.gamma={self.gamma:g} must be above 0 and at most 1")

    def _after(self, epochs: float) -> float:
        return float(self.gamma ** bisect_right(self.milestones, epochs))


@dataclass(frozen=True, kw_only=True)
class Cosine(Constant):
    """Half a cosine from 1 to ``final`` (Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5, one period).

    Args:
        epochs: at which ``final`` is reached, warm-up included; the factor stays there.
        final: from 0 to 1.
    """

    epochs: float
    final: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.warmup < self.epochs:
            raise SettingError(f"schedule.epochs={self.epochs:g} must be above schedule.warmup={self.warmup:g}")
        if not 0 <= self.final <= 1:
            raise SettingError(f"schedule.final={self.final:g} must be from 0 to 1")

    def _after(self, epochs: float) -> float:
        progress = min(1.0, (epochs - self.warmup) / (self.epochs - self.warmup))
        return self.final + (1.0 - self.final) * 0.5 * (1.0 + math.cos(math.pi * progress))


@dataclass(frozen=True, kw_only=True)
class OneCycle(Cosine):
    """Up from ``start`` to 1 in ``warmup`` epochs, then down to ``final`` (Smith & Topin 2018, arXiv:1708.07120).

    Args:
        start: from 0 to 1.
    """

    start: float = 0.04  # 1 / 25, as torch.optim.lr_scheduler.OneCycleLR

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.start <= 1:
            raise SettingError(f"schedule.start={self.start:g} must be from 0 to 1")

    def __call__(self, epochs: float) -> float:
        factor = super().__call__(epochs)
        return self.start + (1.0 - self.start) * factor if epochs < self.warmup else factor
