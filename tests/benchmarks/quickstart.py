"""The first thing a newcomer runs: 4 members on 2 groups of 2 ranks learn to read digits. How long, and how well."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tests.benchmarks.page import Section, spread, table
from tests.benchmarks.runs import run_summary


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
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        summary = run_summary(4, ["+experiment=digits_pbt", f"seed={seed}", *shorter], Path(folder), limit=600)
        took = time.perf_counter() - began
    return took, float(summary["best"]["test"]["accuracy"])
