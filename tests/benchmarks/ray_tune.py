"""What a generation takes beside Ray Tune's PBT: 4 members that only copy their state, in one run on one machine.

Ray lives in an environment of its own; ``NESTEDGA_RAY`` names its Python. It is run with several settings, and the
fastest counts. A generation lasts from its predecessor's last result to its own last one; the first is left out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.journals import journal_of
from tests.benchmarks.outer_loop import generations_of
from tests.benchmarks.page import Limit, Section, spread, table

RAY_VARIABLE = "NESTEDGA_RAY"
POPULATION, GROUPS, WANTED_RATIO = 4, 2, 50.0
FUNCTIONS = {  # by megabytes of state
    0: "{_target_: tests.functions.lineage, x: 0.5}",
    100: "{_target_: tests.functions.large, x: 0.5, megabytes: 100}",
}
TUNED: dict[str, Any] = {"reuse_actors": True, "spare_samples": 1, "cores_per_trial": 1}
SETTINGS: dict[str, dict[str, Any]] = {
    "barrier": {**TUNED, "synch": True},
    "barrier, one trial at a time": {**TUNED, "synch": True, "cores_per_trial": GROUPS},
    "no barrier": {**TUNED, "synch": False},
    "no barrier, all trials at once": {**TUNED, "synch": False, "cores_per_trial": GROUPS / POPULATION},
}
DEFAULTS = {"reuse_actors": False, "spare_samples": 0, "cores_per_trial": 1, "synch": True}
QUIET = {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "TUNE_GLOBAL_CHECKPOINT_S": "3600"}
MEMORY = Path("/dev/shm")  # where Ray's checkpoints cost least


def measure(short: bool) -> Section:
    """Ours and each setting of Ray in turn, as often as there are rounds; a round's figure is the median generation."""
    rounds, generations = (1, 6) if short else (2, 12)
    python = os.environ.get(RAY_VARIABLE, "")
    with_ray = shutil.which(python) is not None
    rows, limits = [], []
    for megabytes in FUNCTIONS:
        ours: list[float] = []
        theirs: dict[str, list[float]] = {name: [] for name in SETTINGS}
        for _ in range(rounds):
            ours.append(_ours(megabytes, generations))
            for name, settings in SETTINGS.items() if with_ray else ():
                theirs[name].append(_theirs(python, settings, megabytes, generations, MEMORY, QUIET))
        size = f"{megabytes} MB" if megabytes else "next to nothing"
        rows.append(("ours", size, spread(ours, 3)))
        if not with_ray:
            continue
        rows += [(f"Ray, {name}", size, spread(seconds, 3)) for name, seconds in theirs.items()]
        default = _theirs(python, DEFAULTS, megabytes, generations=5, storage=Path(tempfile.gettempdir()), extra={})
        rows.append(("Ray, barrier, as it comes", size, f"{default:.3f}"))
        best = min(theirs, key=lambda name: float(np.median(theirs[name])))
        ratios = [a / b for a, b in zip(theirs[best], ours, strict=True)]
        met = float(np.median(ratios)) >= WANTED_RATIO
        what = f"state of {size}: Ray's time (best setting: {best}) / ours"
        limits.append(Limit(what, spread(ratios, 1), f"{WANTED_RATIO:g} or more", met))
    absent = f"\n\nRay was not measured: {RAY_VARIABLE} names no Python that has it."
    text = f"""{POPULATION} members that copy their parent's array, {generations} generations, {rounds} rounds; ours on
{GROUPS} groups of one rank, `search=pbt`, with every state on disk; Ray with {GROUPS} cores, `reuse_actors=True`, its
actors kept by a sample left over, no loggers, and checkpoints in shared memory (/dev/shm). "As it comes": no reuse,
loggers, checkpoints on disk.

{table(("", "state", "seconds a generation, median (least to most) "), rows)}{"" if with_ray else absent}"""
    return Section("Generations beside Ray Tune", "python -m tests.benchmarks ray_tune", tuple(limits), text)


def _ours(megabytes: int, generations: int) -> float:
    records = journal_of(
        GROUPS,
        "evaluator=function",
        "search=pbt",
        f"+function={FUNCTIONS[megabytes]}",
        "+space.function.x={type: float, low: 0, high: 1}",
        f"search.population_size={POPULATION}",
        f"search.generations={generations}",
        limit_seconds=60 + 20 * generations,
    )
    lasted = [max(ledger["duration"] for ledger in groups.values()) for groups in generations_of(records)]
    return float(np.median(lasted[1:]))


def _theirs(
    python: str, settings: dict[str, Any], megabytes: int, generations: int, storage: Path, extra: dict[str, str]
) -> float:
    words = settings | {
        "population": POPULATION,
        "cores": GROUPS,
        "megabytes": megabytes,
        "generations": generations,
    }
    peer = Path(__file__).parent / "peers" / "on_ray.py"
    with tempfile.TemporaryDirectory(dir=storage) as folder:
        answer = subprocess.run(
            [python, str(peer), json.dumps(words), folder],
            env=os.environ | extra | {"TMPDIR": folder},  # a checkpoint is made there, then copied
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60 + 30 * generations,
            check=False,
        )
    if answer.returncode:
        raise RuntimeError(f"Ray failed with {words}:\n{answer.stderr[-4000:]}")
    return float(np.median(np.diff(json.loads(answer.stdout.splitlines()[-1]))))
