"""Errors of Hydra and OmegaConf, many lines each, become one line of ours."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nestedga.errors import SettingError, nearest
from nestedga.job.composition import composed
from nestedga.job.leaves import leaves

NOISE = ("full_key", "object_type", "See https", "reference_type")  # how lines begin that help nobody


class one_line_errors:  # noqa: N801 (a context manager, used like a function)
    """Turns what Hydra and OmegaConf raise into a SettingError of one line.

    Args:
        overrides: the configuration in which the nearest to an unknown setting is sought.
    """

    def __init__(self, overrides: Sequence[str] = ()) -> None:
        self._overrides = overrides

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, HydraException | OmegaConfBaseException):
            raise SettingError(one_line(error, self._overrides)) from error


def one_line(error: BaseException, overrides: Sequence[str] = ()) -> str:
    """What an error says, for a person who has typed overrides."""
    text = str(error)
    missing = re.search(r"Could not find '([^']*)'", text)
    options = re.search(r"Available options in '([^']*)':(.*?)(\n\w|$)", text, re.DOTALL)
    if missing and options:
        names = ", ".join(options.group(2).split())
        return f"{missing.group(1).replace('/', '=')} is unknown; known {options.group(1)}: {names}"
    if stranger := re.search(r"Could not override '([^']*)'", text):
        known = nearest(stranger.group(1), _known(overrides))
        return f"{stranger.group(1)} is no setting; the nearest is {known} (+{stranger.group(1)}=VALUE makes a new one)"
    if error.__cause__ is not None:
        text = f"{text}: {error.__cause__}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "; ".join(line for line in lines if not line.startswith(NOISE))


def _known(overrides: Sequence[str]) -> list[str]:
    """What could be set, with the config groups that were chosen."""
    chosen = [text for text in overrides if "." not in text.split("=")[0] and not text.startswith(("~", "+"))]
    try:
        config, _ = composed(chosen)
    except HydraException:
        config, _ = composed([])
    return [path for path, _ in leaves(OmegaConf.to_container(config, resolve=False))]
