"""One simulation from the first report to its figures."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nestedga.coordination.coordinator import Coordinator, Rules
from nestedga.coordination.event_log import EventLog
from nestedga.coordination.groups import Groups
from nestedga.coordination.serve import serve
from nestedga.coordination.thinker import LocalThinker, Thinker
from nestedga.population.space import Space
from nestedga.protocol.layout import Layout
from nestedga.record.journal import Journal
from nestedga.record.members import Members
from nestedga.search.base import Search
from nestedga.simulate.clock import Clock, PlayedThinker
from nestedga.simulate.played import NUM_SAMPLES, NoFiles, PlayedGroups, resident_bytes
from nestedga.simulate.settings import SimulateConfig

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a simulation found.

    Attributes:
        figures: for scripts; docs/simulation.md says what each is.
        times: ends of the bins of the budget, shape (NUM_SAMPLES,), seconds.
        utilisation: share of groups that trained, by bin, shape (NUM_SAMPLES,).
        queueing: seconds from report to order, of each order.
        decisions: within the budget, rows of when, seconds and number of reports, shape (3, decisions).
        memory: rows of when and bytes, shape (2, samples).
    """

    figures: dict[str, Any]
    times: Floats
    utilisation: Floats
    queueing: Floats
    decisions: Floats
    memory: Floats

    def curves(self) -> dict[str, list[float]]:
        """What goes over time, for scripts."""
        return {
            "seconds": self.times.tolist(),
            "utilisation": self.utilisation.tolist(),
            "memory_at_seconds": self.memory[0].tolist(),
            "memory_bytes": self.memory[1].tolist(),
        }


def simulate(
    settings: SimulateConfig, make_search: Callable[[], Search], space: Space, seed: int, journal_path: Path
) -> Outcome:
    """Plays one run from the first report to the end.

    Args:
        settings: checked.
        make_search: makes the search, which counts as memory.
        space: of its genes.
        seed: of what is played.
        journal_path: where the journal is written.
    """
    clock = Clock()
    layout = Layout((settings.group_size,) * settings.groups)
    gc.collect()
    before = resident_bytes()
    search = make_search()
    elsewhere = None
    if search.slow:
        elsewhere = PlayedThinker(search, clock, None if settings.thinking == "measured" else float(settings.thinking))
    thinker: Thinker = elsewhere or LocalThinker(search)
    groups = PlayedGroups(settings, layout, space, seed, clock, elsewhere)
    book = Journal(journal_path, clock=clock)
    coordinator = Coordinator(
        thinker,
        EventLog(book, Members(("min",))),
        NoFiles(),
        Groups(layout, {rank: rank // settings.ranks_per_node for rank in range(sum(layout.sizes))}),
        Rules(max_seconds=settings.seconds),
        clock=clock,
    )
    began = time.perf_counter()
    serve(coordinator, groups, show=lambda: None, beat=lambda: None)
    real_seconds = time.perf_counter() - began
    book.close()
    groups.close()
    return _outcome(settings, groups, elsewhere, before, journal_path.stat().st_size, real_seconds)


def _outcome(
    settings: SimulateConfig,
    groups: PlayedGroups,
    elsewhere: PlayedThinker | None,
    bytes_before: int,
    journal_bytes: int,
    real_seconds: float,
) -> Outcome:
    budget, total = settings.seconds, settings.seconds * settings.groups
    begins, ends = (np.asarray(numbers) for numbers in groups.trained)
    times = np.linspace(0.0, budget, NUM_SAMPLES + 1, dtype=np.float64)
    done = _lasting(begins, times) - _lasting(ends, times)  # group seconds of training until then
    finished = ends <= budget
    queueing, decisions = np.asarray(groups.queueing), np.stack([np.asarray(row) for row in groups.decisions])
    memory = np.array(groups.memory).T
    memory[1] = np.maximum(memory[1] - bytes_before, 0)
    within = decisions[:, decisions[0] < budget]
    busy = float(np.minimum(within[1], budget - within[0]).sum())
    figures: dict[str, Any] = {
        "groups": settings.groups,
        "seconds": budget,
        "utilisation": float(done[-1]) / total,
        "utilisation_finished": float((ends - begins)[finished].sum()) / total,
        "wait_share": groups.wait_seconds / total,
        "wait_for_search_share": groups.search_seconds / total,
        "fetch_share": groups.fetch_seconds / total,
        "lost_share": groups.lost_seconds / total,
        "evaluations": int(finished.sum()),
        "evaluations_failed": groups.num_failed,
        "evaluations_per_second": int(finished.sum()) / budget,
        "search_ended_at_seconds": groups.stops_at if groups.stops_at <= budget else None,
        "decision_seconds": _spread(within[1]),
        "decision_seconds_per_report": float(within[1].sum() / max(1.0, within[2].sum())),
        "reports_per_decision": float(within[2].mean()),
        "coordinator_busy_share": busy / budget,
        "queueing_seconds": _spread(queueing),
        "states_fetched": groups.num_fetched,
        "states_from_disk": groups.num_from_disk,
        "memory_bytes": int(memory[1].max()),
        "journal_bytes": journal_bytes,
        "thinking": None,
        "real_seconds": real_seconds,
    }
    if elsewhere and elsewhere.asked_seconds:
        figures["thinking"] = {
            "seconds": _spread(np.array(elsewhere.asked_seconds)),
            "members_per_question": elsewhere.num_members / len(elsewhere.asked_seconds),
            "seconds_per_member": sum(elsewhere.asked_seconds) / max(1, elsewhere.num_members),
        }
    return Outcome(figures, times[1:], np.diff(done) / (times[1] * settings.groups), queueing, within, memory)


def _lasting(since: Floats, times: Floats) -> Floats:
    """For each time, the sum of how long ago each of these was; those to come count nothing."""
    since = np.sort(since)
    passed = np.searchsorted(since, times, side="right")
    summed: Floats = np.concatenate([[0.0], np.cumsum(since)])
    return passed * times - summed[passed]


def _spread(values: Floats) -> dict[str, float]:
    p50, p99 = np.percentile(values, (50, 99))
    return {"mean": float(values.mean()), "p50": float(p50), "p99": float(p99), "max": float(values.max())}
