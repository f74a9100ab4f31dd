"""A member's settings as training reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from nestedga.errors import SettingError
from nestedga.rank.place import Settings
from nestedga.training.data.base import Strengths
from nestedga.training.settings import RecipeConfig, TrainingConfig

T = TypeVar("T")
Section = Mapping[str, Any]
"""A free section: what its ``_target_`` takes, or the task."""


@dataclass(frozen=True, slots=True)
class MemberSettings:
    """The sections that training reads, each by the name that it has in the configuration.

    Attributes:
        data: the data set, and how it is served.
        model: the network.
        optimizer: its class and hyperparameters.
        schedule: of the learning rate.
        task: what is learnt.
        recipe: how large batches are trained.
        training: how the machine computes; the same for all members.
        resplit: ``groups.resplit``: when ranks change groups.
    """

    data: Section
    model: Section
    optimizer: Section
    schedule: Section
    task: Section
    recipe: RecipeConfig
    training: TrainingConfig
    resplit: str

    @classmethod
    def from_config(cls, settings: Settings) -> MemberSettings:
        """Of a whole configuration; some microseconds.

        Raises:
            SettingError: a gene has brought a value of another type into a typed section.
        """
        return cls(
            data=settings["data"],
            model=settings["model"],
            optimizer=settings["optimizer"],
            schedule=settings["schedule"],
            task=settings["task"],
            recipe=_typed("recipe", settings["recipe"], RecipeConfig),
            training=_typed("training", settings["training"], TrainingConfig),
            resplit=settings["groups"]["resplit"],
        )

    @property
    def strengths(self) -> Strengths:
        """Of augmentation: ``data.augment``."""
        return self.data.get("augment") or {}


def _typed(name: str, section: Section, kind: type[T]) -> T:
    """A section as its dataclass."""
    try:
        return msgspec.convert(section, kind)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        key = path.rstrip("`")
        raise SettingError(f"{name}.{key}={section[key]!r} has the wrong type: {reason}") from error
