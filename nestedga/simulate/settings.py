"""The section ``simulate``, and how the times of evaluations are distributed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from nestedga.errors import SettingError
from nestedga.record import journal
from nestedga.record.events import MemberTold


@dataclass
class SimulateConfig:
    """Section ``simulate``.

    Attributes:
        groups: how many.
        group_size: ranks of each.
        ranks_per_node: which holders of a state are near.
        seconds: the budget; nothing is handed out later.
        evaluation: how the times of evaluations are distributed: ``constant``; ``lognormal``; ``lomax`` (a Pareto
            distribution that begins at 0: a few take very long); ``journal``: drawn from those that a run has recorded.
        mean_seconds: of an evaluation, but for ``journal``.
        sigma: of ``lognormal``: the standard deviation of the time's logarithm.
        alpha: of ``lomax``, above 1: the smaller, the heavier the tail; up to 2 the variance is infinite.
        journal: for ``journal``: a run folder, or the file.
        noise: standard deviation of a member's FoM about the played function, which spans 0.5 a gene or less.
        failures_per_hour: of a group that trains.
        failure: what one does: ``failed``: the member's evaluation is a failure; ``lost``: the interval begins again.
        state_bytes: of a member; 0: there are none.
        bandwidth: bytes a second that a leader sends, one state after another, and that a disk takes and gives. The
            default is half of a link of 100 Gbit/s.
        latency_seconds: of a message; includes that both ends look for messages every millisecond or so.
        decision: ``measured``, or seconds that each report keeps the coordinator busy.
        thinking: ``measured``, or seconds of each question to a search that thinks in a process of its own.
        dir: where journal, figures and picture go; runs/simulate/<time> unless given.
    """

    groups: int = 128
    group_size: int = 1
    ranks_per_node: int = 8
    seconds: float = 36000.0
    evaluation: str = "lognormal"
    mean_seconds: float = 600.0
    sigma: float = 0.5
    alpha: float = 2.5
    journal: str | None = None
    noise: float = 0.1
    failures_per_hour: float = 0.0
    failure: str = "failed"
    state_bytes: float = 1e8
    bandwidth: float = 6.25e9
    latency_seconds: float = 0.001
    decision: Any = "measured"
    thinking: Any = "measured"
    dir: str | None = None

    def check(self) -> None:
        """Refuses what cannot be simulated.

        Raises:
            SettingError: naming setting, value and remedy.
        """
        for name in ("groups", "group_size", "ranks_per_node"):
            self._check(getattr(self, name) >= 1, name, "must be 1 or more")
        for name in ("seconds", "mean_seconds", "bandwidth"):
            self._check(0.0 < getattr(self, name) < math.inf, name, "must be above 0")
        for name in ("sigma", "noise", "failures_per_hour", "state_bytes", "latency_seconds"):
            self._check(0.0 <= getattr(self, name) < math.inf, name, "must be 0 or more")
        known = tuple(DISTRIBUTIONS)
        self._check(self.evaluation in known, "evaluation", f"is unknown; use one of {', '.join(known)}")
        self._check(self.alpha > 1.0, "alpha", "has no mean; use a number above 1")
        self._check(self.failure in ("failed", "lost"), "failure", "is unknown; use failed or lost")
        for name in ("decision", "thinking"):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool) and 0.0 <= value < math.inf
            self._check(number or value == "measured", name, "must be measured, or seconds of 0 or more")
        if self.evaluation == "journal":
            self._check(self.journal is not None, "journal", "must name a run folder, for evaluation=journal")

    def _check(self, holds: bool, name: str, complaint: str) -> None:
        if not holds:
            raise SettingError(f"simulate.{name}={getattr(self, name)} {complaint}")

    def evaluations_within(self) -> int:
        """More evaluations than the groups can be expected to make within the budget.

        By Wald's equation: times cut at the budget T sum to at most 2 T up to the first that ends beyond it.
        """
        draw, rng = DISTRIBUTIONS[self.evaluation](self), Random(0)
        cut = math.fsum(min(draw(rng), self.seconds) for _ in range(10_000)) / 10_000
        return math.ceil(self.groups * (2.0 * self.seconds / cut + 1.0))


# Times of evaluations: each makes a function from a generator to seconds.

Draw = Callable[[Random], float]


def _constant(settings: SimulateConfig) -> Draw:
    return lambda rng: settings.mean_seconds


def _lognormal(settings: SimulateConfig) -> Draw:
    mu = math.log(settings.mean_seconds) - settings.sigma**2 / 2.0  # so that the mean is what was asked for
    return lambda rng: rng.lognormvariate(mu, settings.sigma)


def _lomax(settings: SimulateConfig) -> Draw:
    scale = settings.mean_seconds * (settings.alpha - 1.0)
    return lambda rng: scale * (rng.paretovariate(settings.alpha) - 1.0)


def _recorded(settings: SimulateConfig) -> Draw:
    path = Path(str(settings.journal))
    path = path / "journal.jsonl" if path.is_dir() else path
    told = (line.event.evaluation for line in journal.lines(path) if isinstance(line.event, MemberTold))
    seconds = [evaluation.seconds for evaluation in told if evaluation.ok]
    if not sum(seconds):
        raise SettingError(f"simulate.journal={settings.journal} has no evaluation that took any time; name another")
    return lambda rng: rng.choice(seconds)


DISTRIBUTIONS = {"constant": _constant, "lognormal": _lognormal, "lomax": _lomax, "journal": _recorded}
