"""The main evaluator: trains a network, data-parallel over the ranks of the group."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from nestedga.errors import SettingError
from nestedga.evaluators.base import Result
from nestedga.population.member import Member
from nestedga.rank.place import Place, Settings
from nestedga.states.state import State
from nestedga.training.loop import Trainer
from nestedga.training.measuring import Diverged
from nestedga.training.member_settings import MemberSettings
from nestedga.training.task import Task


class TrainingEvaluator:
    """Trains ``model`` on ``data`` with ``optimizer``, at what ``task`` asks for.

    Args:
        task: built already, for its metrics; a member's own is made of the member's settings.
        build: makes an object of a ``_target_`` section.
        seed: of all draws.
        unit: of a member's budget, ``epochs`` or ``steps``.
    """

    sections = ("data", "model", "optimizer", "schedule", "task", "recipe")

    def __init__(self, *, task: Task | Mapping[str, Any], build: Callable[..., Any], seed: int, unit: str) -> None:
        if isinstance(task, Mapping):
            raise SettingError("task._target_ is missing; use task=classification, or name a class there")
        self.metrics = (*task.metrics, "parameters")
        self._build, self._seed, self._unit = build, seed, unit
        self._place: Place
        self._trainer: Trainer

    @property
    def repeatable(self) -> bool:
        """On a GPU, some sums of a backward pass are taken in any order (of attention, or of what torch compiles)."""
        return self._trainer.device.type == "cpu"

    def open(self, place: Place, settings: Settings) -> None:
        self._place = place
        self._trainer = Trainer(place, self._build, self._seed, self._unit, MemberSettings.from_config(settings))

    def check(self, settings: Settings) -> None:
        self._trainer.check(MemberSettings.from_config(settings))

    def train(self, member: Member, settings: Settings, parent: State | None) -> Result:
        state = self._trainer.train(member, MemberSettings.from_config(settings), parent)
        with self._place.ledger.during("evaluate"):
            metrics = self._trainer.measure("fitness")
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise Diverged(f"the fitness {name} is {value}")
        return Result({**metrics, "parameters": float(self._trainer.num_parameters)}, state)

    def test(self, member: Member, settings: Settings, state: State | None) -> dict[str, float]:
        assert state is not None, "a trained member has a state"
        with self._place.ledger.during("evaluate"):
            self._trainer.load(member, MemberSettings.from_config(settings), state)
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
