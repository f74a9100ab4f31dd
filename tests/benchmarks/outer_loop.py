"""What a generation costs beside training: 4 members with a state of 100 MB each, on 2 groups of one rank.

The members only copy their parent's array, so that nearly all of a generation is the outer loop's. A generation lasts
from its predecessor's last evaluation to its own last one; from that the group's seconds in ``train`` and ``evaluate``
are taken off, and the largest rest of all groups counts.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from nestedga.rank.ledger import ACTIVITIES
from nestedga.record import journal
from tests.benchmarks.journals import journal_of
from tests.benchmarks.page import Limit, Section, spread, table

MEGABYTES, POPULATION, WANTED_SECONDS = 100, 4, 0.2
TRAINING = ("train", "evaluate")
Generation = dict[int, dict[str, float]]  # seconds by group and activity; "duration" besides


def measure(short: bool) -> Section:
    """One run; all generations but the first, which has no parents."""
    generations = generations_of(_run(4 if short else 12))[1:]
    rests = [max(_rest(ledger) for ledger in generation.values()) for generation in generations]
    middle, longest = float(np.median(rests)), max(rests)
    rows = []
    for activity in ACTIVITIES:
        seconds = [max(ledger.get(activity, 0.0) for ledger in generation.values()) for generation in generations]
        rows.append((activity, spread(seconds)))
    durations = [ledger["duration"] for generation in generations for ledger in generation.values()]
    text = f"""{POPULATION} members with {MEGABYTES} MB of state each, genetic search, {len(generations)} generations.
States are packed, checked, kept, fetched from the other group where need be, and written to disk in the background.
A whole generation takes {spread(durations)} s. By activity, seconds of the slower group:

{table(("activity", "seconds in a generation, median (least to most)"), rows)}

`checkpoint` is packing the state, its checksum and handing it to the writer. `wait` is the barrier of a generation,
filled by the other group's training, as well as the coordinator's answer."""
    limits = (
        Limit(
            "median generation beside training", f"{spread(rests)} s", f"{WANTED_SECONDS} s", middle <= WANTED_SECONDS
        ),
        Limit(
            "longest generation beside training", f"{longest:.2f} s", f"{WANTED_SECONDS} s", longest <= WANTED_SECONDS
        ),
    )
    return Section("Outer loop", "python -m tests.benchmarks outer_loop", limits, text)


def _run(generations: int) -> list[journal.Record]:
    return journal_of(
        2,
        "evaluator=function",
        "search=genetic",
        f"+function={{_target_: tests.functions.large, x: 0.5, megabytes: {MEGABYTES}}}",
        "+space.function.x={type: float, low: 0, high: 1}",
        f"search.population_size={POPULATION}",
        f"search.generations={generations}",
        "interval.epochs=1",
        limit_seconds=60 + 20 * generations,
    )


def generations_of(records: list[dict[str, Any]]) -> list[Generation]:
    """Each generation's ledgers, group by group, from a journal."""
    generation_of = {r["member"]["id"]: r["member"]["generation"] for r in records if r["event"] == "ask"}
    tells = [record for record in records if record["event"] == "tell"]
    generations: dict[int, Generation] = defaultdict(lambda: defaultdict(lambda: defaultdict(float)))
    end: dict[int, float] = {}
    for record in tells:
        generation = generation_of[record["evaluation"]["member_id"]]
        end[generation] = max(end.get(generation, 0.0), record["time"])
        for activity, seconds in record["evaluation"]["ledger"].items():
            generations[generation][record["group"]][activity] += seconds
    began = next(record["time"] for record in records if record["event"] == "run")
    for generation, ledgers in sorted(generations.items()):
        for ledger in ledgers.values():
            ledger["duration"] = end[generation] - end.get(generation - 1, began)
    return [generations[generation] for generation in sorted(generations)]


def _rest(ledger: dict[str, float]) -> float:
    return ledger["duration"] - sum(ledger.get(activity, 0.0) for activity in TRAINING)
