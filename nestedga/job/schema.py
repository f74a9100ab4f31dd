"""Every setting with its type and default, section by section. Pure: no Hydra, no torch, no MPI.

A section that one part reads is declared beside its reader; those that the job itself reads are declared here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from nestedga.errors import SettingError
from nestedga.population.objectives import ObjectiveConfig
from nestedga.protocol.layout import GroupsConfig
from nestedga.states.limits import StatesConfig
from nestedga.training.settings import RecipeConfig, TrainingConfig


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Section ``run``; conf/config.yaml says what each setting means."""

    dir: str | None = None
    max_seconds: float | None = None
    stall_seconds: float = 1800.0

    def check(self) -> None:
        """Refuses durations that leave no time.

        Raises:
            SettingError: one is 0 or less.
        """
        for name, seconds in (("max_seconds", self.max_seconds), ("stall_seconds", self.stall_seconds)):
            if seconds is not None and seconds <= 0:
                raise SettingError(f"run.{name}={seconds:g} must be above 0")


@dataclass(frozen=True, slots=True)
class CoordinatorConfig:
    """Section ``coordinator``; conf/config.yaml says what each setting means."""

    count: int = 1
    migration_interval: int | None = None
    topology: str = "ring"


@dataclass(frozen=True, slots=True)
class IntervalConfig:
    """Section ``interval``: what a member trains before it is judged; one of the two is given, the other is None."""

    epochs: int | None = None
    steps: int | None = None

    def length(self) -> tuple[str, int]:
        """The unit of budgets, ``epochs`` or ``steps``, and how many of them one interval has.

        Raises:
            SettingError: both are given or neither, or the interval trains nothing.
        """
        given = {unit: number for unit, number in asdict(self).items() if number is not None}
        if len(given) != 1:
            raise SettingError(
                f"interval: give epochs or steps, not {' and '.join(given) or 'neither'}; set the other to null"
            )
        ((unit, number),) = given.items()
        if number < 1:
            raise SettingError(f"interval.{unit}={number} trains nothing; use 1 or more")
        return unit, number


@dataclass(frozen=True, slots=True)
class Schema:
    """The whole configuration. A section of type dict is free: it holds whatever its ``_target_`` takes, or genes."""

    seed: int = 0
    resume: bool = False
    run: RunConfig = field(default_factory=RunConfig)
    groups: GroupsConfig = field(default_factory=GroupsConfig)
    coordinator: CoordinatorConfig = field(default_factory=CoordinatorConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    interval: IntervalConfig = field(default_factory=IntervalConfig)
    states: StatesConfig = field(default_factory=StatesConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    recipe: RecipeConfig = field(default_factory=RecipeConfig)
    search: dict[str, Any] = field(default_factory=dict)
    space: dict[str, Any] = field(default_factory=dict)
    evaluator: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    schedule: dict[str, Any] = field(default_factory=dict)
    task: dict[str, Any] = field(default_factory=dict)
    function: dict[str, Any] = field(default_factory=dict)
    command: dict[str, Any] = field(default_factory=dict)
