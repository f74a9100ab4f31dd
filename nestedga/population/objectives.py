"""What a run searches for: one metric of the evaluator or several, each to be minimised or maximised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nestedga.errors import SettingError

MODES = ("min", "max")


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
    def from_config(cls, section: Mapping[str, Any]) -> Objectives:
        """From the section ``objective``, or a journal's header: ``name`` and ``mode``, each one string or a list.

        Raises:
            SettingError: naming the setting that cannot be.
        """
        names, modes = _listed(section, "name"), _listed(section, "mode")
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


def _listed(section: Mapping[str, Any], setting: str) -> tuple[str, ...]:
    given = section[setting]
    values = tuple(given) if isinstance(given, list | tuple) else (given,)
    if not values or not all(isinstance(value, str) for value in values):
        raise SettingError(f"objective.{setting}={given!r} must be a string, or a list of strings as in [a,b]")
    return values


def _typed(values: Sequence[str]) -> str:
    """As it would be typed."""
    return f"[{','.join(values)}]" if len(values) > 1 else values[0]
