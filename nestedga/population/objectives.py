"""What a run searches for: one metric of the evaluator or several, each to be minimised or maximised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nestedga.errors import SettingError

MODES = ("min", "max")


@dataclass(frozen=True, slots=True)
class ObjectiveConfig:
    """Section ``objective``, which a journal's header repeats: each setting is one string, or a list of them."""

    name: Any = "accuracy"
    mode: Any = "max"


@dataclass(frozen=True, slots=True)
class Objectives:
    """Names and modes, in the user's order; the first is the figure of merit.

    Attributes:
        names: metrics of the evaluator.
        modes: ``min`` or ``max`` for each.
    """

    names: tuple[str, ...]
    modes: tuple[str, ...]

    @classmethod
    def from_config(cls, section: ObjectiveConfig) -> Objectives:
        """Checks that each name has a mode.

        Raises:
            SettingError: naming the setting that cannot be.
        """
        names, modes = _listed("name", section.name), _listed("mode", section.mode)
        for name in names:
            if names.count(name) > 1:
                raise SettingError(f"objective.name={_typed(names)} names {name} twice; once is enough")
        for mode in modes:
            if mode not in MODES:
                raise SettingError(f"objective.mode={mode!r} is unknown; use min or max")
        if len(names) != len(modes):
            raise SettingError(
                f"objective.name={_typed(names)} and objective.mode={_typed(modes)} differ in length; "
                "give min or max for each name"
            )
        return cls(names, modes)

    def __len__(self) -> int:
        return len(self.names)


def _listed(setting: str, given: Any) -> tuple[str, ...]:
    values = tuple(given) if isinstance(given, list | tuple) else (given,)
    if not values or not all(isinstance(value, str) for value in values):
        raise SettingError(f"objective.{setting}={given!r} must be a string, or a list of strings as in [a,b]")
    return values


def _typed(values: Sequence[str]) -> str:
    """As it would be typed."""
    return f"[{','.join(values)}]" if len(values) > 1 else values[0]
