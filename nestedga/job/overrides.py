"""Overrides as they are typed: sweeps become jobs, and a program's own section is taken out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TypeVar

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nestedga.errors import SettingError, nearest
from nestedga.job.hydra_errors import one_line, one_line_errors

T = TypeVar("T")


def jobs_of(overrides: Sequence[str], multirun: bool) -> list[list[str]]:
    """The overrides of each job: one, or with ``--multirun`` the product of all sweeps, as Hydra's basic sweeper.

    Raises:
        SettingError: an override cannot be read, or sweeps without ``--multirun``.
    """
    parser, choices = OverridesParser.create(), []
    with one_line_errors():
        for text in overrides:
            try:
                override = parser.parse_override(text)
            except HydraException as error:
                raise SettingError(
                    f"{text} cannot be read; write KEY=VALUE, with quotes around texts that hold braces, colons or the "
                    "like, as in 'command.arguments=[python,train.py,\"{lr}\"]'"
                ) from error
            if not override.is_sweep_override():
                choices.append([text])
            elif multirun:
                key = override.get_key_element()
                choices.append([f"{key}={value}" for value in override.sweep_string_iterator()])
            else:
                raise SettingError(f"{text} names several values; add --multirun to run them all, or choose one")
    return [list(job) for job in itertools.product(*choices)]


def split_off(name: str, kind: type[T], overrides: Sequence[str]) -> tuple[T, list[str]]:
    """A section that the configuration does not have: a program's own.

    Args:
        name: of the section.
        kind: a dataclass with defaults for all fields, not frozen.
        overrides: as typed; those that begin with the section's name fill it.

    Returns:
        The section, and the other overrides.

    Raises:
        SettingError: no such setting, or a value of another type.
    """
    own = [text for text in overrides if text.startswith(f"{name}.")]
    section = OmegaConf.structured(kind)
    known = [f"{name}.{key}" for key in section]
    with one_line_errors():
        for override in OverridesParser.create().parse_overrides(own):
            path, value = override.key_or_group, override.value()
            if override.is_sweep_override():
                raise SettingError(f"{override.input_line} names several values; choose one")
            if path not in known:
                raise SettingError(f"{path} is no setting; the nearest is {nearest(path, known)}")
            try:
                OmegaConf.update(section, path.partition(".")[2], value)
            except OmegaConfBaseException as error:
                raise SettingError(f"{path}={value!r} does not do: {one_line(error)}") from error
    return OmegaConf.to_object(section), [text for text in overrides if text not in own]  # type: ignore[return-value]
