"""How much of the time groups evaluate: real runs whose evaluations sleep for a drawn time.

Utilisation is the drawn time within the budget / (budget x groups). The budget begins at the journal's run header.
What was drawn counts, not what was measured, so a late wake-up is a loss like any other. An evaluation that the end of
the budget cuts is taken to have ended when it was told, and counts with the part of its drawn time before the cut:
never too much.
"""

from __future__ import annotations

from collections.abc import Iterable

from nestedga.record.journal import Record
from tests.benchmarks.journals import journal_of
from tests.benchmarks.page import Limit, Section, table
from tests.functions import drawn_seconds

WANTED = 0.97
CELLS = (  # search, groups, ranks of each
    ("pbt_async", 4, 1),
    ("pbt_async", 8, 1),
    ("pbt_async", 4, 2),
    ("steady_state", 8, 1),
    ("steady_state", 4, 2),
    ("model_based", 8, 1),
)
JUDGED = ("pbt_async", "steady_state")  # model_based, which thinks, is shown beside
SEARCHES = {  # none ends before the budget does
    "pbt_async": ("search.population_size={groups}", "search.generations=100000"),
    "steady_state": ("search.evaluations=100000",),
    "model_based": ("search.population_size={groups}", "search.evaluations=100000"),
}


def measure(short: bool) -> Section:
    """Each search on each layout."""
    budget = 15.0 if short else 120.0
    rows, worst = [], 1.0
    for search, groups, ranks in CELLS:
        share, num_evaluations = utilisation(_run(search, groups, ranks, budget), budget, groups)
        worst = min(worst, share) if search in JUDGED else worst
        rows.append((search, f"{groups} of {ranks}", str(num_evaluations), f"{share:.4f}"))
    text = f"""Evaluations sleep, log-normal with mean 2 s and sigma 0.5; budget {budget:g} s from the run's header
in the journal. Utilisation is the drawn time within the budget / (budget x groups).

{table(("search", "groups of ranks", "evaluations", "utilisation"), rows)}"""
    limits = (
        Limit(f"least utilisation of {' and '.join(JUDGED)}", f"{worst:.4f}", f"{WANTED} or more", worst >= WANTED),
    )
    return Section("Utilisation", "python -m tests.benchmarks utilisation", limits, text)


def _run(search: str, groups: int, ranks: int, budget: float) -> list[Record]:
    return journal_of(
        groups * ranks,
        "evaluator=function",
        f"search={search}",
        *(setting.format(groups=groups) for setting in SEARCHES[search]),
        f"groups.group_size={ranks}",
        f"run.max_seconds={budget:g}",
        "+function={_target_: tests.functions.sleeps, x: 0.5}",
        "+space.function.x={type: float, low: 0, high: 1}",
        limit_seconds=budget + 120,
    )


def utilisation(records: Iterable[Record], budget: float, groups: int) -> tuple[float, int]:
    """The share of the budget, and how many evaluations have a part in it."""
    end, shares = 0.0, []
    for record in records:
        if record["event"] == "run":
            end = record["time"] + budget
        elif record["event"] == "tell":
            drawn = drawn_seconds(record["evaluation"]["member_id"])
            shares.append(max(0.0, drawn - max(0.0, record["time"] - end)))
    return sum(shares) / (budget * groups), sum(share > 0.0 for share in shares)
