"""What a search costs: pairs of ask and tell a second, and taking up a journal of 100,000 evaluations."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from nestedga.member import Evaluation, Member
from nestedga.search.base import Search
from tests.benchmarks.page import Limit, Section, spread, table
from tests.search.searches import SEARCHES, SPACE

POPULATION = 100
FAST = ("genetic", "pbt", "pbt_async", "steady_state")  # those with a limit on pairs a second
PAIRS_PER_SECOND = 10_000
RESUME_SECONDS = 20.0


def measure(short: bool) -> Section:
    """Every search of the laws, on the space of the laws: six genes of all types, one of them conditional."""
    rounds, pairs, length = (1, 1_000, 2_000) if short else (5, 10_000, 100_000)
    rows, limits = [], []
    for name, entry in SEARCHES.items():
        if entry.space is not SPACE:
            continue
        slow = entry.build().slow
        rates = [_pairs_per_second(_new(entry.build, pairs), 100 if slow else pairs) for _ in range(rounds)]
        seconds = _resume_seconds(lambda entry=entry: _new(entry.build, length), length)
        rows.append((name, spread(rates, 0), f"{seconds:.1f}"))
        if name in FAST:
            met = float(np.median(rates)) >= PAIRS_PER_SECOND
            limits.append(
                Limit(f"{name}: ask-tell pairs a second", spread(rates, 0), f"{PAIRS_PER_SECOND} or more", met)
            )
        met = seconds < RESUME_SECONDS
        limits.append(Limit(f"{name}: resuming from {length} evaluations", f"{seconds:.1f} s", "below 20 s", met))
    text = f"""Population {POPULATION}, one group, five genes of all types and a conditional one. Pairs: median of
{rounds} rounds of {pairs} pairs (100 for searches that declare themselves slow, from an empty history). Resuming:
`adopt` and `tell` of the journal's members and evaluations, then one `ask`, without reading the file.

{table(("search", "pairs a second", "resuming, seconds"), rows)}"""
    return Section("What a search costs", "python -m tests.benchmarks search_speed", tuple(limits), text)


def _new(build: Callable[..., Search], evaluations: int) -> Search:
    return build(population_size=POPULATION, generations=evaluations // POPULATION)


def _pairs_per_second(search: Search, pairs: int) -> float:
    rng = np.random.default_rng(0)
    foms = rng.random(pairs).tolist()
    began = time.perf_counter()
    for fom in foms:
        (member,) = search.ask(1)
        search.tell(Evaluation(member.id, fom))
    return pairs / (time.perf_counter() - began)


def _resume_seconds(new: Callable[[], Search], length: int) -> float:
    first, second = new(), new()
    rng = np.random.default_rng(0)
    journal = []
    for number in range(length - 1):
        if first.slow:  # thinking 100,000 times would take days: a history of random members, which costs it as much
            member = Member(number, number % POPULATION, 0, SPACE.sample(rng), (), (), 1)
        else:
            (member,) = first.ask(1)
        evaluation = Evaluation(member.id, float(rng.random()))
        if not first.slow:
            first.tell(evaluation)
        journal.append((member, evaluation))
    began = time.perf_counter()
    for member, evaluation in journal:
        second.adopt(member)
        second.tell(evaluation)
    second.ask(1)
    return time.perf_counter() - began
