"""Whether a run that was begun earlier, perhaps by an earlier version, may go on with today's settings."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import yaml

from nestedga.errors import SettingError
from nestedga.job.build import default_of, same_target
from nestedga.job.leaves import leaves, section_of
from nestedga.job.schema import Schema
from nestedga.record.run_folder import RunFolder

# Sections that may differ when a run goes on: none of them changes what a member's training gives.
FREE_ON_RESUME = ("resume", "run", "groups", "states")


def check_same(now: dict[str, Any], folder: RunFolder) -> None:
    """A run goes on with the settings it was begun with, but for those that change no result.

    A setting that the run did not know yet counts as its default, and a ``_target_`` as what it names today.

    Raises:
        SettingError: naming the first setting that differs.
    """
    there = dict(leaves(yaml.safe_load(folder.config.read_text())))
    here, defaults = dict(leaves(now)), dict(leaves(asdict(Schema())))
    for path in sorted({*here, *there}):
        if path.split(".")[0] in FREE_ON_RESUME:
            continue
        ours = here.get(path)
        theirs = there[path] if path in there else defaults[path] if path in defaults else _default(now, path)
        if ours != theirs and not _is_renamed(path, ours, theirs):
            raise SettingError(
                f"resume=true: {path}={ours} differs from {theirs}, with which the run in {folder.path} was begun; "
                f"type {path}={theirs}, or begin a new run"
            )


def _default(settings: dict[str, Any], path: str) -> Any:
    """What the ``_target_`` of a free section takes for a setting that is not given; None where it says nothing."""
    target = section_of(settings, path).get("_target_")
    return None if target is None else default_of(target, path.rpartition(".")[2])


def _is_renamed(path: str, ours: Any, theirs: Any) -> bool:
    return (
        path.rpartition(".")[2] == "_target_"
        and isinstance(ours, str)
        and isinstance(theirs, str)
        and same_target(ours, theirs)
    )
