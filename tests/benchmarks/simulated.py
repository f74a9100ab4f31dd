"""How well searches keep thousands of groups busy: simulated with measured decisions, each in a process of its own."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.page import Limit, Section, table
from tests.conftest import run_command

UTILISATION = 0.97
ROUNDS = 4  # of evaluations in the budget
CASES = ((128, 600.0), (4_096, 600.0), (27_600, 600.0), (4_096, 30.0))  # groups, mean seconds
FAST = {"pbt": "pbt_async", "steady_state": "steady_state"}
SLOW_ROUNDS, SLOW_CASES = 4, ((128, 600.0), (128, 30.0))
LIMIT_SECONDS = 7200
HEAD = ("search", "groups", "mean, s", "utilisation", "finished", "report to order, median, p99", "decision, mean, p99")
SLOW_HEAD = ("groups", "mean, s", "prefetch", "utilisation", "waiting for it", "a member, ms", "keeps up with")
Figures = dict[str, Any]


def measure(short: bool) -> Section:
    """Searches without a barrier, and beside them a model-based one."""
    rounds, cases, slow_cases = (4, ((128, 600.0),), ((16, 600.0),)) if short else (ROUNDS, CASES, SLOW_CASES)
    rows, limits = [], []
    for name, search in FAST.items():
        for groups, mean in cases:
            figures = simulated(search, groups, mean, rounds)
            rows.append(_row(name, mean, figures))
            limits.append(_utilisation(name, mean, figures))
    slow_rows = []
    for groups, mean in slow_cases:
        for prefetch in (0, 1):
            figures = simulated("model_based", groups, mean, SLOW_ROUNDS, f"++search.prefetch={prefetch}")
            slow_rows.append(_slow_row(mean, prefetch, figures))
    text = f"""`python -m nestedga.simulate` ([simulation.md](simulation.md)): real coordinator, search and journal with
its fsync, whose measured time moves a virtual clock; log-normal times of evaluations with sigma 0.5, states of 100 MB,
1 ms a message, a population as large as the groups, {rounds} times the mean as budget. Utilisation counts what of the
evaluations lies within the budget; finished, only evaluations that ended within it.

{table((*HEAD, "coordinator busy", "memory, MB", "journal, MB"), rows)}

`model_based` thinks in a process of its own, so what it takes delays nobody but groups that wait for its answer. It
keeps up while a member's making is shorter than the mean time divided by the groups: the last column says for how many
groups that holds. With prefetch, a group's next member is asked for while it trains.

{table(SLOW_HEAD, slow_rows)}"""
    return Section("Thousands of groups, simulated", "python -m tests.benchmarks simulated", tuple(limits), text)


def simulated(search: str, groups: int, mean: float, rounds: int, *more: str) -> Figures:
    """The figures of one simulation.

    Raises:
        RuntimeError: it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "nestedga.simulate", f"search={search}", f"search.population_size={groups}"),
            *(f"simulate.groups={groups}", f"simulate.mean_seconds={mean}", f"simulate.seconds={rounds * mean}"),
            *("simulate.evaluation=lognormal", "simulate.sigma=0.5", "simulate.dir=run", *more),
        ]
        answer = run_command(command, Path(folder), limit=LIMIT_SECONDS)
        if answer.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{answer.stdout[-2000:]}\n{answer.stderr[-4000:]}")
        figures: Figures = json.loads((Path(folder) / "run" / "figures.json").read_text())
        return figures


def _utilisation(name: str, mean: float, figures: Figures) -> Limit:
    value = figures["utilisation"]
    what = f"{name}, {figures['groups']} groups, mean {mean:.0f} s: utilisation"
    return Limit(what, f"{value:.4f}", f"{UTILISATION} or more", value >= UTILISATION)


def _row(name: str, mean: float, figures: Figures) -> list[str]:
    queueing, decision = figures["queueing_seconds"], figures["decision_seconds"]
    return [
        name,
        str(figures["groups"]),
        f"{mean:.0f}",
        f"{figures['utilisation']:.4f}",
        f"{figures['utilisation_finished']:.4f}",
        f"{queueing['p50'] * 1e3:.2f}, {queueing['p99'] * 1e3:.1f} ms",
        f"{decision['mean'] * 1e3:.2f}, {decision['p99'] * 1e3:.1f} ms",
        f"{figures['coordinator_busy_share']:.4f}",
        f"{figures['memory_bytes'] / 1e6:.0f}",
        f"{figures['journal_bytes'] / 1e6:.0f}",
    ]


def _slow_row(mean: float, prefetch: int, figures: Figures) -> list[str]:
    each = figures["thinking"]["seconds_per_member"]
    return [
        str(figures["groups"]),
        f"{mean:.0f}",
        str(prefetch),
        f"{figures['utilisation']:.4f}",
        f"{figures['wait_for_search_share']:.4f}",
        f"{each * 1e3:.1f}",
        f"{mean / each:.0f} groups",
    ]
