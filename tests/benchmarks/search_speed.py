"""What a search costs: pairs of ask and tell a second, and taking up a journal of 100,000 evaluations."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from nestedga.population.member import Evaluation, Member
from nestedga.population.space import Space
from nestedga.search.base import Search
from tests.benchmarks.page import Limit, Section, spread, table
from tests.search.searches import SEARCHES

POPULATION = 100
FAST = ("genetic", "pbt", "pbt_async", "steady_state")  # those with a limit on pairs a second
OTHERS = ("multiple_frequencies", "fire", "asha_genetic", "random", "sobol", "cma_es", "cma_es_reals")
SLOW = ("pb2", "model_based", "agebo", "trust_region")  # what a pair costs hangs on how much is known
PAIRS_PER_SECOND = 10_000
RESUME_SECONDS = 20.0


def measure(short: bool) -> Section:
    """Searches with their settings and spaces of the laws."""
    rounds, pairs, length = (1, 1_000, 2_000) if short else (5, 10_000, 100_000)
    rows, limits = [], []
    for name in (*FAST, *OTHERS, *SLOW):
        entry = SEARCHES[name]
        rates = [_pairs_per_second(_new(entry.build, pairs), pairs) for _ in range(rounds if name not in SLOW else 0)]
        seconds = _resume_seconds(lambda entry=entry: _new(entry.build, length), entry.space, length)
        rows.append((name, spread(rates, 0) if rates else "", f"{seconds:.1f}"))
        if name in FAST:
            met = float(np.median(rates)) >= PAIRS_PER_SECOND
            wanted = f"{PAIRS_PER_SECOND} or more"
            limits.append(Limit(f"{name}: ask-tell pairs a second", spread(rates, 0), wanted, met))
        met = seconds < RESUME_SECONDS
        limits.append(Limit(f"{name}: resuming from {length} evaluations", f"{seconds:.1f} s", "below 20 s", met))
    text = f"""Population {POPULATION}, one group, five genes of all types and a conditional one (real and whole numbers
alone for trust_region and cma_es, reals alone for cma_es_reals). Pairs: median of {rounds} rounds of {pairs} pairs.
Resuming: `adopt` and `tell` of the journal's members and evaluations, then one `ask`, without reading the file.

{table(("search", "pairs a second", "resuming, seconds"), rows)}"""
    return Section("What a search costs", "python -m tests.benchmarks search_speed", tuple(limits), text)


def _new(build: Callable[..., Search], evaluations: int) -> Search:
    return build(population_size=POPULATION, generations=evaluations // POPULATION)


def _pairs_per_second(search: Search, pairs: int) -> float:
    foms = np.random.default_rng(0).random(pairs).tolist()
    began = time.perf_counter()
    for fom in foms:
        (member,) = search.ask(1)
        search.tell(Evaluation(member.id, fom))
    return pairs / (time.perf_counter() - began)


def _resume_seconds(new: Callable[[], Search], space: Space, length: int) -> float:
    first, second = new(), new()
    rng = np.random.default_rng(0)
    journal = []
    for number in range(length - 1):
        if first.slow:  # thinking 100,000 times would take days: a history of random members, which costs it as much
            genotype = space.sample(rng)
            member = Member(number, number % POPULATION, number // POPULATION, genotype, (), (), 1)
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
