"""Real runs for benchmarks, and what their journals say."""

from __future__ import annotations

import tempfile
from pathlib import Path

from nestedga.record import journal
from tests.conftest import mpirun, run_command


def journal_of(ranks: int, *overrides: str, limit_seconds: float) -> list[journal.Record]:
    """Runs ``python -m nestedga`` on some ranks in a folder of its own; gives the journal.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    command = [*mpirun(ranks), "-m", "nestedga", "run.dir=run", *overrides]
    with tempfile.TemporaryDirectory() as folder:
        answer = run_command(command, Path(folder), limit=limit_seconds)
        if answer.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{answer.stdout[-2000:]}\n{answer.stderr[-4000:]}")
        return list(journal.read(Path(folder) / "run" / "journal.jsonl"))
