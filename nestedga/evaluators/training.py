"""The main evaluator: trains a network, data-parallel over the ranks of the group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nestedga.evaluators.base import Result
from nestedga.member import Member
from nestedga.place import Place, Settings
from nestedga.state import State
from nestedga.training.loop import METRICS, Trainer


class TrainingEvaluator:
    """Trains ``model`` on ``data`` with ``optimizer``.

    Args:
        build: makes an object of a ``_target_`` section.
        seed: of all draws.
        unit: of a member's budget, ``epochs`` or ``steps``.
    """

    metrics = (*METRICS, "parameters")
    sections = ("data", "model", "optimizer")

    def __init__(self, *, build: Callable[..., Any], seed: int, unit: str) -> None:
        self._build, self._seed, self._unit = build, seed, unit
        self._place: Place
        self._trainer: Trainer

    def open(self, place: Place, settings: Settings) -> None:
        self._place = place
        self._trainer = Trainer(place, self._build, self._seed, self._unit, settings)

    def train(self, member: Member, settings: Settings, parent: State | None) -> Result:
        state = self._trainer.train(member, settings, parent)
        with self._place.ledger.during("evaluate"):
            metrics = self._trainer.measure("fitness")
        return Result({**metrics, "parameters": float(self._trainer.num_parameters)}, state)

    def test(self, member: Member, settings: Settings, state: State | None) -> dict[str, float]:
        assert state is not None, "a trained member has a state"
        with self._place.ledger.during("evaluate"):
            self._trainer.load(member, settings, state)
            return self._trainer.measure("test")

    def move(self, place: Place) -> None:
        self._place = place
        self._trainer.move(place)

    def release(self) -> None:
        self._trainer.release()

    def restart(self) -> None:
        self._trainer.restart()

    def close(self) -> None:
        self._trainer.close()
