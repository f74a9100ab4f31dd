"""How much of a node the states may fill: the section ``states`` of the configuration, in bytes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nestedga.errors import SettingError

UNITS = {
    "": 1,
    "B": 1,
    **{f"{prefix}B": 1000**power for power, prefix in enumerate("KMGT", start=1)},
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGT", start=1)},
}


@dataclass(frozen=True, slots=True)
class StatesConfig:
    """Section ``states``; sizes are what ``parse_size`` reads, conf/config.yaml says what each setting means."""

    memory_limit: Any = "50%"
    local_dir: str | None = None
    local_limit: Any = None


@dataclass(frozen=True, slots=True)
class StateLimits:
    """What one leader's states may fill.

    Attributes:
        memory_limit: bytes of host memory; None: no limit.
        local_folder: on a disk of this node; None: none is used.
        local_limit: bytes of that disk; None: as much as it takes.
    """

    memory_limit: int | None
    local_folder: Path | None
    local_limit: int | None

    @classmethod
    def from_config(cls, section: StatesConfig, num_ranks: int) -> StateLimits:
        """Reads the section.

        Args:
            section: ``states`` of the configuration.
            num_ranks: ranks on this node; each of them may lead a group.

        Raises:
            SettingError: a value is no size, or the folder's name has a variable that is not set.
        """
        memory = parse_size("states.memory_limit", section.memory_limit, memory_bytes())
        local = parse_size("states.local_limit", section.local_limit)
        return cls(
            None if memory is None else memory // num_ranks,
            _folder(section.local_dir),
            None if local is None else local // num_ranks,
        )


def parse_size(setting: str, value: Any, whole: int | None = None) -> int | None:
    """Bytes; None for null.

    Args:
        setting: its name, for messages.
        value: as in ``512MB`` (1000 to the power of two), ``4GiB`` (1024 to the power of three), plain bytes, null.
        whole: what ``50%`` is taken of, in bytes; None: a percentage makes no sense here.

    Raises:
        SettingError: the value is none of these.
    """
    if value is None:
        return None
    units = {unit.lower(): factor for unit, factor in UNITS.items()}
    if whole is not None:
        units["%"] = whole / 100
    match = re.fullmatch(r"(\d+(?:\.\d*)?(?:e\+?\d+)?)\s*([a-z%]*)", str(value).strip().lower())
    if match is None or match[2] not in units:
        shares = ", a share such as 50%" if whole is not None else ""
        raise SettingError(f"{setting}={value} is no size; use bytes, a size such as 512MB or 4GiB{shares}, or null")
    return int(float(match[1]) * units[match[2]])


def memory_bytes(cgroup: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> int:
    """Memory that this process may share: the machine's, or less where a container or batch system allows less.

    Args:
        cgroup: the control groups of the process.
        mount: where control groups are mounted.
    """
    return min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *_cgroup_limits(cgroup, mount)])


def _cgroup_limits(cgroup: Path, mount: Path) -> Iterator[int]:
    """The limits of the process's control group and of all above it, of either version (man 7 cgroups)."""
    lines = cgroup.read_text().splitlines() if cgroup.exists() else []
    for _, controllers, path in (line.split(":", maxsplit=2) for line in lines):
        if controllers == "":
            root, name = mount, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = mount / "memory", "memory.limit_in_bytes"
        else:
            continue
        folder = root / path.lstrip("/")
        for level in (folder, *folder.parents):
            if level.is_relative_to(root) and (level / name).exists():
                limit = (level / name).read_text().strip()
                if limit.isdigit():  # else "max"
                    yield int(limit)


def _folder(name: str | None) -> Path | None:
    if name is None:
        return None
    expanded = os.path.expandvars(os.path.expanduser(name))
    if "$" in expanded:
        raise SettingError(
            f"states.local_dir={name} has a variable that is not set on this node; set it, or name a folder"
        )
    return Path(expanded)
