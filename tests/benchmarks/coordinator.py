"""The coordinator's own throughput and memory: groups that hand in at once, so that it never has to wait.

All that world rank 0 does for an evaluation takes part, but for the messages: search, coordinator, journal on a real
disk and, for the memory, the views. Reports that arrive while it decides are taken together, as in a real run.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from nestedga.coordination.coordinator import Coordinator, Rules
from nestedga.coordination.event_log import EventLog
from nestedga.coordination.groups import Groups
from nestedga.coordination.thinker import LocalThinker
from nestedga.population.genes import FloatGene
from nestedga.population.member import Evaluation
from nestedga.population.objectives import ObjectiveConfig
from nestedga.population.space import Space
from nestedga.protocol.layout import Layout
from nestedga.protocol.messages import Durable, Evaluated, Order, Prefetch, Ready, Report
from nestedga.record.events import FORMAT, RunBegan
from nestedga.record.journal import Journal
from nestedga.record.members import Members
from nestedga.record.run_folder import RunFolder
from nestedga.report.live.views import Views
from nestedga.search.base import Asynchronous
from nestedga.search.evolution.steady_state import SteadyState
from nestedga.search.pbt.pbt import AsynchronousPBT
from tests.benchmarks.page import Limit, Section, spread, table

SPACE = Space(tuple(FloatGene(f"optimizer.gene_{number}", 0.0, 1.0) for number in range(5)))
SEARCHES: dict[str, type[Asynchronous]] = {"pbt_async": AsynchronousPBT, "steady_state": SteadyState}
WANTED_PER_SECOND, WANTED_BYTES = 10_000, 1e9


def measure(short: bool) -> Section:
    """Throughput by search and number of groups; memory of one long run in a process of its own."""
    rounds, evaluations, many = (1, 4_000, 20_000) if short else (3, 40_000, 1_000_000)
    rows, limits = [], []
    for name in SEARCHES:
        for num_groups in (128, 4096, 27_600):
            together = [_throughput(name, num_groups, num_groups, evaluations) for _ in range(rounds)]
            alone = [1e6 / _throughput(name, num_groups, 1, evaluations // 20) for _ in range(rounds)]
            rows.append((name, f"{num_groups:,}", spread(together, 0), spread(alone, 0)))
            if num_groups == 4096:
                met = float(np.median(together)) >= WANTED_PER_SECOND
                what = f"{name}: evaluations a second, {num_groups:,} groups"
                limits.append(Limit(what, spread(together, 0), f"{WANTED_PER_SECOND:,}", met))
    peak = _peak_bytes("steady_state", many)
    what = f"steady_state: memory of the process after {many:,} evaluations"
    limits.append(Limit(what, f"{peak / 1e6:.0f} MB", f"{WANTED_BYTES / 1e6:.0f} MB", peak < WANTED_BYTES))
    text = f"""Five genes, population as large as the number of groups, {rounds} rounds. Each report carries metrics, a
ledger and a state that is durable already. `saturated`: all groups hand in at once, again and again. `alone`: one
report at a time, each with an fsync of its own. Memory: the most that the process ever held, with 128 groups,
views, interpreter and packages included.

{table(("search", "groups", "saturated, evaluations a second", "alone, microseconds"), rows)}"""
    return Section("The coordinator", "python -m tests.benchmarks coordinator", tuple(limits), text)


class NoFiles:
    """States of which nothing is on disk."""

    def all(self) -> Iterable[int]:
        return ()

    def intact(self, member_id: int) -> bool:
        return False

    def remove(self, member_id: int) -> None:
        pass


class Saturated:
    """Groups that have done what they were told before the coordinator looks again."""

    def __init__(self, coordinator: Coordinator, num_groups: int) -> None:
        self.coordinator = coordinator
        self._foms = np.random.default_rng(0)
        self._reports: list[Report] = [Ready(group) for group in range(num_groups)]
        self.num_told = 0

    def step(self, most: int) -> None:
        """Takes in some reports, and lets the groups carry out the orders."""
        reports, self._reports = self._reports[:most], self._reports[most:]
        for report in reports:
            self.coordinator.receive(report)
            self.num_told += isinstance(report, Evaluated)
        for group, message in (*self.coordinator.decide(), *self.coordinator.prepare()):
            if not isinstance(message, Prefetch):
                self._reports.append(self._report(group, message))

    def _report(self, group: int, order: Order) -> Report:
        if order.member is None:
            return Durable(group, ())
        evaluation = Evaluation(
            order.member.id,
            float(self._foms.random()),
            metrics={"accuracy": 0.5, "loss": 1.5},
            seconds=1.0,
            ledger={"train": 0.9, "wait": 0.1},
            checksum=order.member.id,
        )
        return Evaluated(group, evaluation, (order.member.id,))


def _coordinator(name: str, num_groups: int, book: Journal) -> Coordinator:
    search = SEARCHES[name](SPACE, seed=0, budget=1, population_size=num_groups, generations=1_000_000)
    log, groups = EventLog(book, Members(("max",))), Groups(Layout((1,) * num_groups))
    return Coordinator(LocalThinker(search), log, NoFiles(), groups, Rules())


def _throughput(name: str, num_groups: int, at_once: int, evaluations: int) -> float:
    """Evaluations a second."""
    with tempfile.TemporaryDirectory() as folder:
        book = Journal(Path(folder) / "journal.jsonl")
        coordinator = _coordinator(name, num_groups, book)
        groups = Saturated(coordinator, num_groups)
        groups.step(num_groups)
        began = time.perf_counter()
        while groups.num_told < evaluations:
            groups.step(at_once)
        return groups.num_told / (time.perf_counter() - began)


def _peak_bytes(name: str, evaluations: int) -> float:
    command = [sys.executable, "-m", "tests.benchmarks.coordinator", name, str(evaluations)]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def long_run(name: str, evaluations: int, num_groups: int = 128) -> int:
    """All that world rank 0 keeps for a run; gives the most bytes that the process ever held."""
    import resource

    with tempfile.TemporaryDirectory() as path:
        folder = RunFolder(Path(path))
        views = Views(folder, live=False)
        book = Journal(folder.journal, views.put)
        layout = Layout((1,) * num_groups)
        coordinator = _coordinator(name, num_groups, book)
        began = RunBegan(
            format=FORMAT,
            experiment="benchmark",
            folder=path,
            search=name,
            population_size=num_groups,
            generational=False,
            num_evaluations=None,
            objective=ObjectiveConfig("accuracy", "max"),
            unit="epochs",
            layout=str(layout),
            group_sizes=layout.sizes,
            versions={},
            initialise_seconds=0.0,
        )
        book.record(began)
        groups = Saturated(coordinator, num_groups)
        while groups.num_told < evaluations:
            groups.step(num_groups)
            views.show()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.stdout = sys.stderr  # what views print
    peak = long_run(sys.argv[1], int(sys.argv[2]))
    sys.__stdout__.write(f"{peak}\n")  # type: ignore[union-attr]
