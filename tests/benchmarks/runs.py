"""Whole runs, as typed, and what their summaries say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.conftest import mpirun, run_command


def run_summary(ranks: int, overrides: Sequence[str], folder: Path, limit: float, name: str = "run") -> dict[str, Any]:
    """``summary.json`` of ``python -m nestedga`` with these overrides.

    Args:
        ranks: of mpirun.
        overrides: as typed.
        folder: where the run folder is made.
        limit: seconds after which it is taken for hung.
        name: of the run folder.

    Raises:
        RuntimeError: it failed; with the end of what it printed.
    """
    command = [*mpirun(ranks), "-m", "nestedga", f"run.dir={name}", *overrides]
    answer = run_command(command, folder, limit=limit)
    if answer.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{answer.stdout[-2000:]}\n{answer.stderr[-4000:]}")
    summary: dict[str, Any] = json.loads((folder / name / "summary.json").read_text())
    return summary
