"""``python -m tests.benchmarks.mixed run|report CACHE``: searches beside peers on mixed and conditional problems.

The problems are those of ``mixed_problems``, the form is that of ``bbob``: traces in files of a cache folder, and the
area under the empirical cumulative curve. Targets lie between what a random point gives (the median of 200) and the
optimum, or the best that anybody in the cache found: 10^0 to 10^-3 of that distance, 31 of them.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nestedga.population.genes import CategoricalGene, FloatGene, Gene, IntGene, OrdinalGene
from nestedga.population.member import Evaluation, Genotype
from nestedga.population.space import Space
from tests.benchmarks.bbob import REPORT, areas, bootstrap, evolve, leads, our_search
from tests.benchmarks.mixed_problems import PROBLEMS, Problem
from tests.benchmarks.page import Limit, Section, table, write

TARGETS = np.logspace(0.0, -3.0, 31)
BUDGETS = (100, 500)
ABOUT = """The same figure as for real-valued functions, on five problems (tests/benchmarks/mixed_problems.py): a tree
of optimizers with conditional genes, layers that have genes only where they exist, twelve interacting categories, a
pressure vessel with two whole numbers, and a support vector machine that is really trained. 31 targets from the median
of random points to a thousandth of its distance from the best value known. Each instance has its own seed."""

Minimise = Callable[[Problem, int, int], None]
"""Calls a problem's function ``budget`` times: (problem, budget, seed)."""


def ours(name: str, problem: Problem, budget: int, seed: int) -> None:
    """One of our searches."""
    search = our_search(name, problem.space, budget, seed)
    for _ in range(budget):
        (member,) = search.ask(1)
        search.tell(Evaluation(member.id, problem.function(member.genotype)))


def random(problem: Problem, budget: int, seed: int) -> None:
    """Uniform genotypes."""
    rng = np.random.default_rng(seed)
    for _ in range(budget):
        problem.function(problem.space.sample(rng))


def optuna(sampler: str, problem: Problem, budget: int, seed: int) -> None:
    """A sampler of Optuna with its defaults; inactive genes are not suggested."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=getattr(optuna.samplers, sampler)(seed=seed))
    for _ in range(budget):
        trial = study.ask()
        study.tell(trial, problem.function(_suggested(trial, problem.space)))


def _suggested(trial: Any, space: Space) -> Genotype:
    genotype: Genotype = {}
    waiting = list(space)
    while waiting:  # a gene after those on which it hangs
        for gene in list(waiting):
            if any(other in (g.path for g in waiting) for other, _ in space.conditions.get(gene.path, ())):
                continue
            waiting.remove(gene)
            if not space.is_active(gene.path, genotype):
                continue
            if isinstance(gene, FloatGene):
                genotype[gene.path] = trial.suggest_float(gene.path, gene.low, gene.high, log=gene.log)
            elif isinstance(gene, IntGene):
                genotype[gene.path] = trial.suggest_int(gene.path, gene.low, gene.high, log=gene.log)
            elif isinstance(gene, OrdinalGene):
                genotype[gene.path] = gene.choices[trial.suggest_int(gene.path, 0, len(gene.choices) - 1)]
            else:
                assert isinstance(gene, CategoricalGene)
                genotype[gene.path] = trial.suggest_categorical(gene.path, gene.choices)
    return genotype


def propulate(problem: Problem, budget: int, seed: int) -> None:
    """Propulate's default propagator; it knows neither conditions nor scales, so it works on [0, 1] and on choices."""
    space = problem.space
    limits = {gene.path: _limits(gene) for gene in space}

    def loss(individual: Any) -> float:
        point = [_unit(gene, individual[gene.path]) for gene in space]
        return problem.function(space.from_unit(point))

    evolve(limits, loss, budget, seed)


def _limits(gene: Gene) -> Any:
    if isinstance(gene, CategoricalGene):
        return tuple(map(str, gene.choices))
    return (0, len(gene.choices) - 1) if isinstance(gene, OrdinalGene) else (0.0, 1.0)


def _unit(gene: Gene, value: Any) -> float:
    if isinstance(gene, CategoricalGene):
        return gene.to_unit(gene.choices[tuple(map(str, gene.choices)).index(value)])
    return gene.to_unit(gene.choices[int(value)]) if isinstance(gene, OrdinalGene) else float(value)


PEERS: dict[str, Minimise] = {
    "random": random,
    "optuna_tpe": partial(optuna, "TPESampler"),
    "propulate": propulate,
}


def trace(sampler: str, name: str, instance: int, budget: int) -> NDArray[np.float64]:
    """The best so far, shape (budget,). The instance is the seed as well."""
    warnings.filterwarnings("ignore")  # a support vector machine that is stopped early says so
    problem = PROBLEMS[name](instance)
    values: list[float] = []

    def function(genotype: Genotype) -> float:
        assert problem.space.contains(genotype)
        values.append(problem.function(genotype))
        return values[-1]

    (PEERS.get(sampler) or partial(ours, sampler))(Problem(problem.space, function, None), budget, instance)
    return np.minimum.accumulate(np.array(values[:budget]))


def path_of(cache: Path, sampler: str, name: str, instance: int) -> Path:
    return cache / sampler / f"{name}_i{instance:02}.npy"


def run_one(cache: Path, sampler: str, name: str, instance: int, budget: int) -> None:
    path = path_of(cache, sampler, name, instance)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".part.npy")
        np.save(beside, trace(sampler, name, instance, budget))
        beside.replace(path)


def scales(cache: Path, name: str, instance: int) -> tuple[float, float]:
    """The best value known, and how far above it a random point lies."""
    problem = PROBLEMS[name](instance)
    rng = np.random.default_rng([instance, 200])
    middle = float(np.median([problem.function(problem.space.sample(rng)) for _ in range(200)]))
    found = min(float(np.load(path)[-1]) for path in cache.glob(f"*/{name}_i{instance:02}.npy"))
    best = found if problem.optimum is None else problem.optimum
    return best, middle - best


def report(
    cache: Path, samplers: Sequence[str], names: Sequence[str], instances: Sequence[int]
) -> tuple[tuple[Limit, ...], str]:
    """Our best against the best peer; a table of areas for each budget, then one for each problem."""
    rows, problems = [], []
    means: dict[int, dict[str, float]] = {budget: {} for budget in BUDGETS}
    known = {(name, instance): scales(cache, name, instance) for name in names for instance in instances}
    for sampler in samplers:
        traces = np.array(
            [
                [(np.load(path_of(cache, sampler, n, i)) - known[n, i][0]) / known[n, i][1] for i in instances]
                for n in names
            ]
        )
        entries = []
        for budget in BUDGETS:
            found = areas(traces[..., :budget], TARGETS)
            mean, low, high = bootstrap(found)
            means[budget][sampler] = mean
            entries.append(f"{mean:.3f} [{low:.3f}, {high:.3f}]")
            problems.append((sampler, str(budget), *(f"{area:.3f}" for area in found.mean(axis=1))))
        rows.append((sampler, *entries))
    whole = table(("sampler", *(f"budget {budget}" for budget in BUDGETS)), rows)
    return leads(means), f"{whole}\n\n{table(('sampler', 'budget', *names), problems)}"


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.mixed", description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("run", "report"))
    parser.add_argument("cache", type=Path, help="folder of the traces, outside the repository")
    parser.add_argument("--samplers", nargs="+", help=f"of {', '.join(PEERS)} or names in conf/search")
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS))
    parser.add_argument("--instances", nargs="+", type=int, default=list(REPORT))
    parser.add_argument("--write", action="store_true", help="report: into docs/benchmarks.md")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(words)
    samplers = options.samplers or sorted(path.name for path in options.cache.iterdir() if path.is_dir())
    if options.action == "report":
        limits, text = report(options.cache, samplers, options.problems, options.instances)
        command = f"python -m tests.benchmarks.mixed report CACHE --instances {' '.join(map(str, options.instances))}"
        section = Section("Searches on mixed and conditional problems", command, limits, f"{ABOUT}\n\n{text}")
        print(section.markdown())
        if options.write:
            write([section])
        return
    cells = list(itertools.product(samplers, options.problems, options.instances))
    with ProcessPoolExecutor(options.processes) as pool:
        done = [pool.submit(run_one, options.cache, *cell, max(BUDGETS)) for cell in cells]
        for number, (cell, future) in enumerate(zip(cells, done, strict=True), 1):
            future.result()
            print(f"{number}/{len(cells)} {cell}", flush=True)


if __name__ == "__main__":
    main()
