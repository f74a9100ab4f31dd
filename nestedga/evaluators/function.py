"""A plain function as evaluator: for black boxes in Python, for load tests, and to watch breeding without training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from nestedga.errors import SettingError
from nestedga.evaluators.base import Result
from nestedga.population.member import Member
from nestedga.rank.place import Place, Settings
from nestedga.states.state import State

Weights = dict[str, NDArray[Any]]


class FunctionEvaluator:
    """Calls the ``function`` section: its ``_target_`` with its other keys (the genes) as arguments.

    The function gets also ``weights`` (the parent's arrays by name, or None), ``budget`` and ``member_id``. It gives
    the FoM, or its metrics by name, or either and the arrays that a child may inherit. Every rank of the group calls
    it; the first one's answer counts.

    Args:
        build: calls a ``_target_`` section.
        metrics: names of what it gives; a number alone is the first.

    Raises:
        SettingError: no name is given.
    """

    sections = ("function",)
    repeatable = True

    def __init__(self, *, build: Callable[..., Any], metrics: Sequence[str] = ("fom",), **_: Any) -> None:
        if isinstance(metrics, str) or not metrics:
            raise SettingError(f"evaluator.metrics={metrics!r} must be a list of one name or more, as in [fom]")
        self.metrics = tuple(metrics)
        self._build = build
        self._place: Place

    def open(self, place: Place, settings: Settings) -> None:
        self._place = place

    def check(self, settings: Settings) -> None:
        """Only the function knows."""

    def train(self, member: Member, settings: Settings, parent: State | None) -> Result:
        weights: Weights | None = parent.arrays() if parent else None
        answer = self._build(settings["function"], weights=weights, budget=member.budget, member_id=member.id)
        given, weights = answer if isinstance(answer, tuple) else (answer, None)
        metrics = given if isinstance(given, Mapping) else {self.metrics[0]: given}
        with self._place.ledger.during("checkpoint"):
            state = State.from_arrays(weights) if weights is not None else None
        return Result({name: float(value) for name, value in metrics.items()}, state)

    def test(self, member: Member, settings: Settings, state: State | None) -> dict[str, float]:
        return {}  # a function has no second opinion

    def move(self, place: Place) -> None:
        self._place = place

    def release(self) -> None:
        """Nobody waits for anybody inside a function."""

    def restart(self) -> None:
        """Nothing was stopped."""

    def close(self) -> None:
        """Nothing is open."""
