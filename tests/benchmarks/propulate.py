"""Evaluations of a trivial function a second, beside Propulate at equal ranks, in one run on one machine.

Propulate lives in an environment of its own; ``NESTEDGA_PROPULATE`` names its Python. Counted is the time in which all
ranks evaluate: from the latest first evaluation to the earliest last one.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.benchmarks.journals import journal_of
from tests.benchmarks.page import Limit, Section, spread, table
from tests.conftest import mpirun, run_command

PROPULATE_VARIABLE = "NESTEDGA_PROPULATE"
RANKS, LIMIT_SECONDS = (2, 4), 600.0


def measure(short: bool) -> Section:
    """Ours and theirs in turn, as often as there are rounds."""
    rounds, evaluations = (1, 1_000) if short else (3, 2_000)
    python = os.environ.get(PROPULATE_VARIABLE, "")
    with_theirs = shutil.which(python) is not None
    rows, limits = [], []
    for ranks in RANKS:
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(_rate(_ours(ranks, evaluations)))
            if with_theirs:
                theirs.append(_rate(_theirs(python, ranks, evaluations)))
        rows.append((f"{ranks} ranks, ours", spread(ours, 0)))
        if with_theirs:
            rows.append((f"{ranks} ranks, Propulate", spread(theirs, 0)))
            ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
            limits.append(
                Limit(f"{ranks} ranks: ours / Propulate", spread(ratios), "more than 1", float(np.median(ratios)) > 1.0)
            )
    absent = f"\n\nPropulate was not measured: {PROPULATE_VARIABLE} names no Python that has it."
    text = f"""{evaluations} evaluations of a bowl over one real gene in each run, {rounds} rounds; ours with
`search=steady_state search.prefetch=1` and groups of one rank, every member on disk before it is sent; Propulate with
its default propagator on a population of as many.

{table(("", "evaluations a second, median (least to most)"), rows)}{"" if with_theirs else absent}"""
    return Section("Evaluations beside Propulate", "python -m tests.benchmarks propulate", tuple(limits), text)


def _ours(ranks: int, evaluations: int) -> list[list[float]]:
    times: dict[int, list[float]] = defaultdict(list)
    for record in journal_of(
        ranks,
        "evaluator=function",
        *("search=steady_state", "search.prefetch=1"),
        "search.inherit=none",
        f"search.evaluations={evaluations}",
        "+function={_target_: tests.functions.bowl, x: 0.5}",
        "+space.function.x={type: float, low: 0, high: 1}",
        limit_seconds=LIMIT_SECONDS,
    ):
        if record["event"] == "tell":
            times[record["group"]].append(record["time"])
    return list(times.values())


def _theirs(python: str, ranks: int, evaluations: int) -> list[list[float]]:
    peer = Path(__file__).parent / "peers" / "on_propulate.py"
    with tempfile.TemporaryDirectory() as folder:
        command = [*mpirun(ranks)[:-1], python, str(peer), str(evaluations // ranks), folder]
        answer = run_command(command, Path(folder), limit=LIMIT_SECONDS)
    if answer.returncode:
        raise RuntimeError(f"Propulate failed:\n{answer.stderr[-4000:]}")
    times: list[list[float]] = json.loads(answer.stdout.splitlines()[-1])
    return times


def _rate(times: Sequence[Sequence[float]]) -> float:
    """Evaluations a second of all ranks together, while all evaluate."""
    begin, end = max(ts[0] for ts in times), min(ts[-1] for ts in times)
    return sum(begin < t <= end for ts in times for t in ts) / (end - begin)
