"""The first thing a newcomer runs: 4 members on 2 groups of 2 ranks learn to read digits. How long, and how well."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from tests.benchmarks.page import Section, spread, table
from tests.conftest import mpirun, run_command


def measure(short: bool) -> Section:
    """Some seeds, one after the other."""
    rows, seconds, accuracies = [], [], []
    for seed in range(1 if short else 5):
        took, accuracy = _run(seed, short)
        seconds.append(took)
        accuracies.append(accuracy)
        rows.append((str(seed), f"{took:.0f}", f"{accuracy:.4f}"))
    text = f"""`mpirun -np 4 python -m nestedga +experiment=digits_pbt`, start to exit: {spread(seconds, 0)} s.
Accuracy of the best member on the test split, read once: {spread(accuracies, 4)}.

{table(("seed", "seconds", "test accuracy"), rows)}"""
    return Section("Quick start", "python -m tests.benchmarks quickstart", (), text)


def _run(seed: int, short: bool) -> tuple[float, float]:
    shorter = ["search.generations=2"] if short else []
    command = [*mpirun(4), "-m", "nestedga", "+experiment=digits_pbt", "run.dir=run", f"seed={seed}", *shorter]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        answer = run_command(command, Path(folder), limit=600)
        took = time.perf_counter() - began
        if answer.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{answer.stdout[-2000:]}\n{answer.stderr[-4000:]}")
        summary = json.loads((Path(folder) / "run" / "summary.json").read_text())
    return took, float(summary["best"]["test"]["accuracy"])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.quickstart")
    parser.add_argument("--short", action="store_true")
    print(measure(parser.parse_args().short).markdown())


if __name__ == "__main__":
    main()
