"""Which selection pressure the genetic search should have by default: ``sigma`` over cheap noisy functions.

``fitness = exp(-sigma * x ** 2)`` has a sigma that was never published. Pure search, no ranks: for every function,
population and seed, all sigmas search alike, and the best member found (chosen by its noisy FoM, as in a run; judged
by its true one) is ranked among them. 1 is the best rank, the mean of all is 4.5.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from nestedga.population.genes import FloatGene, IntGene
from nestedga.population.member import Evaluation, Genotype
from nestedga.population.space import Space
from nestedga.search.evolution.genetic import Genetic
from tests.benchmarks.page import Section, table

SIGMAS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
DEFAULT = 8.0
GENERATIONS = 20


def bowl(genotype: Genotype) -> float:
    """One valley in learning rate (log), momentum and width; 0 at the bottom."""
    rate, momentum, width = (float(genotype[path]) for path in ("optimizer.lr", "optimizer.momentum", "model.width"))
    return (math.log10(rate) + 2.0) ** 2 + (momentum - 0.9) ** 2 + 0.01 * abs(width - 20)


def rastrigin(genotype: Genotype) -> float:
    """Many valleys around one; 0 at the bottom of it (Rastrigin 1974)."""
    return sum(float(x) ** 2 - 10.0 * math.cos(2.0 * math.pi * float(x)) + 10.0 for x in genotype.values())


MIXED = Space(
    (
        FloatGene("optimizer.lr", 1e-4, 1.0, log=True),
        FloatGene("optimizer.momentum", 0.0, 0.99),
        IntGene("model.width", 1, 64),
    )
)


def descend(theta: NDArray[np.float64], genotype: Genotype, rng: np.random.Generator) -> NDArray[np.float64]:
    """Weights after an interval of 20 noisy gradient steps on a quadratic of condition 1,000; shape (10,).

    A large rate is fast and rough, a small one slow and fine: the best schedule falls.
    """
    for _ in range(20):
        theta = theta - float(genotype["optimizer.lr"]) * CURVATURE * (theta + 0.3 * rng.standard_normal(10))
    return np.clip(theta, -1e6, 1e6)


CURVATURE = np.logspace(0.0, 3.0, 10)
RATE = Space((FloatGene("optimizer.lr", 1e-5, 1e-1, log=True),))
FIVE = Space(tuple(FloatGene(f"function.x{i}", -5.12, 5.12) for i in range(5)))
# Name: (true FoM, genes, standard deviation of the noise, in units of the FoM).
FUNCTIONS: dict[str, tuple[Callable[[Genotype], float], Space, float]] = {
    "bowl": (bowl, MIXED, 0.0),
    "noisy bowl": (bowl, MIXED, 0.1),
    "many valleys": (rastrigin, FIVE, 2.0),
}
DESCENT = "noisy descent, weights inherited"


def measure(short: bool) -> Section:
    """All functions, populations and seeds."""
    seeds, populations = (6, (8, 16)) if short else (50, (8, 16, 32))
    cells = [(name, population) for name in (*FUNCTIONS, DESCENT) for population in populations]
    with ProcessPoolExecutor() as pool:
        results = list(pool.map(_cell, cells, [seeds] * len(cells)))  # each (seeds, sigmas)
    ranks = [rankdata(found, axis=1) for found in results]
    rows = []
    for (name, population), found, ranked in zip(cells, results, ranks, strict=True):
        medians, means = np.median(found, axis=0), ranked.mean(axis=0)
        entries = [
            _marked(f"{value:.3g} / {mean:.1f}", mean == means.min())
            for value, mean in zip(medians, means, strict=True)
        ]
        rows.append((name, str(population), *entries))
    everything = np.concatenate(ranks)  # (cells x seeds, sigmas)
    overall = everything.mean(axis=0)
    rows.append(("**all**", "", *(_marked(f"{mean:.2f}", mean == overall.min()) for mean in overall)))
    worst = np.array([ranked.mean(axis=0) for ranked in ranks]).max(axis=0)
    rows.append(("**worst**", "", *(_marked(f"{rank:.2f}", rank == worst.min()) for rank in worst)))
    text = f"""Genetic search, {GENERATIONS} generations, {seeds} seeds; `inherit=none` but in the last function.
Each entry: median of the best FoM found (the true one, least is best) / mean rank among the sigmas.
Bold: the least of its row. The last row is the worst mean rank that a sigma has in any row: what it risks.

{table(("function", "population", *(f"sigma {sigma:g}" for sigma in SIGMAS)), rows)}

{_verdict(worst)}"""
    return Section("Selection pressure", "python -m tests.benchmarks sigma", (), text)


def _cell(cell: tuple[str, int], seeds: int) -> NDArray[np.float64]:
    """True FoM of the best member found, shape (seeds, sigmas)."""
    name, population = cell
    search = _breed_weights if name == DESCENT else partial(_search, name)
    return np.array([[search(population, seed, sigma) for sigma in SIGMAS] for seed in range(seeds)])


def _breed_weights(population: int, seed: int, sigma: float) -> float:
    """The least loss of the last generation, where weights are inherited too."""
    search = Genetic(
        RATE, seed=seed, population_size=population, generations=GENERATIONS, budget=1, inherit="weights", sigma=sigma
    )
    weights: dict[int, NDArray[np.float64]] = {}
    last: list[float] = []
    while not search.done:
        last = []
        for member in search.ask(population):
            rng = np.random.default_rng([7, seed, member.id])
            parent = weights[member.weights_parents[0]] if member.weights_parents else np.ones(10)
            weights[member.id] = descend(parent, member.genotype, rng)
            last.append(0.5 * float(CURVATURE @ weights[member.id] ** 2))
            search.tell(Evaluation(member.id, last[-1]))
    return min(last)


def _search(name: str, population: int, seed: int, sigma: float) -> float:
    function, space, noise = FUNCTIONS[name]
    search = Genetic(
        space,
        seed=seed,
        population_size=population,
        generations=GENERATIONS,
        budget=1,
        inherit="none",
        sigma=sigma,
    )
    best = (math.inf, math.inf)  # (noisy, true)
    while not search.done:
        for member in search.ask(population):
            true = function(member.genotype)
            noisy = true + noise * float(np.random.default_rng([7, seed, member.id]).standard_normal())
            best = min(best, (noisy, true))
            search.tell(Evaluation(member.id, noisy))
    return best[1]


def _verdict(worst: NDArray[np.float64]) -> str:
    """What default the worst mean ranks, shape (sigmas,), support: nobody knows beforehand which row is his own."""
    best, ours = int(worst.argmin()), SIGMAS.index(DEFAULT)
    figures = f"its worst mean rank in any row is {worst[ours]:.2f}"
    if best == ours:
        return f"The default, sigma {DEFAULT:g}, risks least: {figures}."
    return f"The default is sigma {DEFAULT:g}: {figures}; sigma {SIGMAS[best]:g} would risk less, {worst[best]:.2f}."


def _marked(text: str, bold: bool) -> str:
    return f"**{text}**" if bold else text
