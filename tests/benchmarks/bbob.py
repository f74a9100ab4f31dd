"""``python -m tests.benchmarks.bbob run|report CACHE ...``: real-valued searches beside their peers on COCO's bbob.

Hansen et al. 2021, "COCO: a platform for comparing continuous optimizers in a black-box setting" (arXiv:1603.08785).
Every run minimises one function from one evaluation to the next; its trace (the best so far above the optimum) goes
into a small file of the cache folder, so that a large comparison is made in pieces and nothing is run twice:

    python -m tests.benchmarks.bbob run CACHE --samplers random trust_region --instances 1 2 3
    python -m tests.benchmarks.bbob report CACHE --instances 1 2 3 --plot curves.svg

The figure of a sampler is the area under the empirical cumulative curve: over all functions, dimensions and instances,
which share of the targets 10^2 .. 10^-8 was met after how many evaluations, over the logarithm of evaluations.
Instances 1 to 5 are for tuning, 6 to 15 for reports.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nestedga.population.genes import FloatGene
from nestedga.population.member import Evaluation
from nestedga.population.space import Space
from nestedga.search.base import Search
from tests.benchmarks.page import Limit, Section, table, write

FUNCTIONS = (2, 3, 8, 10, 13, 15, 17, 21)
"""Two of bbob's first class (separable), one or two of each other: all five classes."""
DIMENSIONS = (5, 20)
BUDGETS = (100, 500, 2000)
TUNING, REPORT = range(1, 6), range(6, 16)
LOW, HIGH = -5.0, 5.0  # bbob's domain, the same for all genes
TARGETS = np.logspace(2.0, -8.0, 51)  # COCO's, f - f_opt
ABOUT = """Area under the empirical cumulative curve: mean over functions 2, 3, 8, 10, 13, 15, 17 and 21 in 5 and 20
dimensions, over the instances named in the command (each with its own seed; tuned on instances 1 to 5 only), with a
bootstrap 95 % interval. Targets 10^2 to 10^-8 above the optimum, 51 of them; one evaluation asked for at a time. The
whole of a curve at 0 would mean that the first target is never met, 1 that all are met at once; the wide range of
targets makes all figures small. Ours are run with their defaults, as are the peers (Propulate breeds from
max(4, dimension)). A cell that is empty, a sampler or an instance that is missing was not measured.
`cma_es` is ours in name only (the package cmaes) and does not count.

![Share of targets met over evaluations, in 5 and 20 dimensions](bbob.svg)"""
PEERS_VARIABLE = "NESTEDGA_PEERS"  # the Python of an environment that has the peers which cannot live in ours

Function = Callable[[NDArray[np.float64]], float]
"""Takes a point of the domain, shape (dimension,)."""
Minimise = Callable[[Function, int, int, int], None]
"""Calls a function ``budget`` times: (function, dimension, budget, seed)."""


def our_search(name: str, space: Space, budget: int, seed: int) -> Search:
    """One of our searches by its name in conf/search, with its defaults, for so many evaluations from scratch."""
    from hydra.utils import get_class
    from omegaconf import OmegaConf

    settings = dict(OmegaConf.load(Path(__file__).parents[2] / "conf" / "search" / f"{name}.yaml"))  # type: ignore[arg-type]
    kind = get_class(str(settings.pop("_target_")))
    settings["inherit"] = "none"
    if "evaluations" in settings:
        settings["evaluations"] = budget
    else:
        settings["generations"] = -(-budget // settings["population_size"])
    return kind(space, seed=seed, budget=1, **settings)


def ours(name: str, function: Function, dimension: int, budget: int, seed: int) -> None:
    """One of our searches."""
    genes = [FloatGene(f"function.x{i:02}", LOW, HIGH) for i in range(dimension)]
    search = our_search(name, Space(tuple(genes)), budget, seed)
    for _ in range(budget):
        (member,) = search.ask(1)
        point = np.array([member.genotype[gene.path] for gene in genes])
        search.tell(Evaluation(member.id, function(point)))


def random(function: Function, dimension: int, budget: int, seed: int) -> None:
    """Uniform points."""
    rng = np.random.default_rng(seed)
    for _ in range(budget):
        function(rng.uniform(LOW, HIGH, dimension))


def optuna(sampler: str, function: Function, dimension: int, budget: int, seed: int) -> None:
    """A sampler of Optuna with its defaults."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=getattr(optuna.samplers, sampler)(seed=seed))
    for _ in range(budget):
        trial = study.ask()
        study.tell(trial, function(np.array([trial.suggest_float(f"x{i}", LOW, HIGH) for i in range(dimension)])))


def propulate(function: Function, dimension: int, budget: int, seed: int) -> None:
    """Propulate's default propagator."""
    limits = {f"x{i:02}": (LOW, HIGH) for i in range(dimension)}
    evolve(limits, lambda individual: function(np.array([individual[name] for name in limits])), budget, seed)


def evolve(limits: dict[str, Any], loss: Callable[[Any], float], budget: int, seed: int) -> None:
    """Propulate's default propagator on a growing population, as one of its workers without company would run it."""
    import random as standard
    import types
    from importlib.util import find_spec

    if "propulate" not in sys.modules:  # without its __init__, which wants MPI and surrogate models
        package = types.ModuleType("propulate")
        spec = find_spec("propulate")
        assert spec is not None
        package.__path__ = list(spec.submodule_search_locations or ())
        sys.modules["propulate"] = package
    from propulate.utils import get_default_propagator

    propagator = get_default_propagator(pop_size=max(4, len(limits)), limits=limits, rng=standard.Random(seed))
    population = []
    for generation in range(budget):
        individual = propagator(population)
        individual.generation = generation
        individual.rank = 0
        individual.loss = loss(individual)
        population.append(individual)


def deephyper(function: Function, dimension: int, budget: int, seed: int) -> None:
    """DeepHyper's search with its default forest, in the environment that NESTEDGA_PEERS names."""
    python = os.environ.get(PEERS_VARIABLE, "")
    if not python:
        raise SystemExit(f"deephyper needs {PEERS_VARIABLE}: the Python of an environment in which it is installed")
    words = [python, "-c", DEEPHYPER, str(dimension), str(seed)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
        assert peer.stdin is not None and peer.stdout is not None
        for _ in range(budget):
            point = json.loads(peer.stdout.readline())
            peer.stdin.write(f"{function(np.array(point))}\n")
            peer.stdin.flush()
        peer.stdin.close()
        peer.terminate()


DEEPHYPER = f"""
import json, sys, tempfile, warnings
warnings.filterwarnings("ignore")
from deephyper.hpo import CBO, HpProblem
dimension, seed = map(int, sys.argv[1:])
problem = HpProblem()
names = [f"x{{i:02}}" for i in range(dimension)]
for name in names:
    problem.add_hyperparameter(({LOW}, {HIGH}), name)
search = CBO(problem, random_state=seed, log_dir=tempfile.mkdtemp(), verbose=0)
while True:
    (config,) = search.ask(1)
    print(json.dumps([float(config[name]) for name in names]), flush=True)
    search.tell([(config, -float(sys.stdin.readline()))])
"""

PEERS: dict[str, Minimise] = {
    "random": random,
    "optuna_tpe": partial(optuna, "TPESampler"),
    "optuna_cma": partial(optuna, "CmaEsSampler"),
    "propulate": propulate,
    "deephyper": deephyper,
}


def minimiser(name: str) -> Minimise:
    """A peer, or one of our searches."""
    return PEERS[name] if name in PEERS else partial(ours, name)


@dataclass(frozen=True)
class Cell:
    """One run: who minimises what."""

    sampler: str
    function: int
    dimension: int
    instance: int
    budget: int

    def path(self, cache: Path) -> Path:
        name = f"f{self.function:02}_d{self.dimension:02}_i{self.instance:02}_b{self.budget}.npy"
        return cache / self.sampler / name

    def trace(self) -> NDArray[np.float64]:
        """Runs it; the best so far above the optimum, shape (budget,). The instance is the seed as well."""
        import cocoex

        problem = cocoex.BareProblem("bbob", self.function, self.dimension, self.instance)
        values: list[float] = []

        def function(point: NDArray[np.float64]) -> float:
            values.append(problem(np.asarray(point, dtype=float)))
            return values[-1]

        minimiser(self.sampler)(function, self.dimension, self.budget, self.instance)
        return np.minimum.accumulate(np.array(values[: self.budget]) - problem.best_value())


def run(cells: Iterable[Cell], cache: Path, processes: int) -> None:
    """Runs what the cache lacks."""
    cells = [cell for cell in cells if not cell.path(cache).exists()]
    with ProcessPoolExecutor(processes) as pool:
        for done, cell in enumerate(pool.map(_run_one, cells, itertools.repeat(cache)), 1):
            print(f"{done}/{len(cells)} {cell}", flush=True)


def _run_one(cell: Cell, cache: Path) -> Cell:
    path = cell.path(cache)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part.npy")
    np.save(beside, cell.trace())
    beside.replace(path)
    return cell


def areas(traces: NDArray[np.float64], targets: NDArray[np.float64] = TARGETS) -> NDArray[np.float64]:
    """Area under the empirical cumulative curve of each run, from 1 evaluation to all of them; in [0, 1].

    A target that is met with evaluation t adds 1 - log t / log budget.

    Args:
        traces: best so far above the optimum, shape (..., budget).
        targets: to be met.

    Returns:
        Shape (...).
    """
    budget = traces.shape[-1]
    missed = (traces[..., None, :] > targets[:, None]).sum(axis=-1)  # evaluations before the one that meets the target
    return np.asarray((1.0 - np.log(np.minimum(missed + 1.0, budget)) / np.log(budget)).mean(axis=-1))


def bootstrap(values: NDArray[np.float64], num_resamples: int = 2000) -> tuple[float, float, float]:
    """Mean and its 95 % interval (percentiles), instances resampled within each problem.

    Args:
        values: shape (num_problems, num_instances).
        num_resamples: of the bootstrap.
    """
    rng = np.random.default_rng(0)
    drawn = rng.integers(values.shape[1], size=(num_resamples, *values.shape))
    means = np.take_along_axis(values[None], drawn, axis=2).mean(axis=(1, 2))
    low, high = np.percentile(means, [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def loaded(cache: Path, sampler: str, grid: argparse.Namespace, budget: int) -> NDArray[np.float64] | None:
    """Traces, shape (num_problems, num_instances, budget); None unless all are there. A longer run serves as well."""
    longer = sorted({b for b in (*BUDGETS, *grid.budgets) if b >= budget})
    rows = []
    for function, dimension, instance in itertools.product(grid.functions, grid.dimensions, grid.instances):
        paths = [Cell(sampler, function, dimension, instance, b).path(cache) for b in longer]
        path = next((path for path in paths if path.exists()), None)
        if path is None:
            return None
        rows.append(np.load(path)[:budget])
    return np.array(rows).reshape(-1, len(grid.instances), budget)


def report(cache: Path, samplers: Sequence[str], grid: argparse.Namespace) -> tuple[tuple[Limit, ...], str]:
    """Our best against the best peer at each budget; a table of areas for each budget, and one for each problem."""
    rows, problems = [], []
    means: dict[int, dict[str, float]] = {budget: {} for budget in grid.budgets}
    for sampler in samplers:
        entries = []
        for budget in grid.budgets:
            traces = loaded(cache, sampler, grid, budget)
            if traces is None:
                entries.append("")
                continue
            found = areas(traces)
            mean, low, high = bootstrap(found)
            means[budget][sampler] = mean
            entries.append(f"{mean:.3f} [{low:.3f}, {high:.3f}]")
            problems.append((sampler, str(budget), *(f"{area:.3f}" for area in found.mean(axis=1))))
        if any(entries):
            rows.append((sampler, *entries))
    names = [f"f{f} {d}-D" for f, d in itertools.product(grid.functions, grid.dimensions)]
    whole = table(("sampler", *(f"budget {budget}" for budget in grid.budgets)), rows)
    return leads(means), f"{whole}\n\n{table(('sampler', 'budget', *names), problems)}"


def leads(means: dict[int, dict[str, float]]) -> tuple[Limit, ...]:
    """Whether one of our own searches is ahead of every peer; adapters of foreign algorithms count for nobody."""
    limits = []
    for budget, by_sampler in means.items():
        mine = {name: mean for name, mean in by_sampler.items() if name not in (*PEERS, "cma_es", "optuna")}
        theirs = {name: mean for name, mean in by_sampler.items() if name in PEERS}
        if mine and theirs:
            best, rival = max(mine, key=lambda n: mine[n]), max(theirs, key=lambda n: theirs[n])
            what = f"area at budget {budget}: {best} against {rival}"
            measured = f"{mine[best]:.3f} against {theirs[rival]:.3f}"
            limits.append(Limit(what, measured, "ahead of every peer", mine[best] > theirs[rival]))
    return tuple(limits)


def plot(cache: Path, samplers: Sequence[str], grid: argparse.Namespace, path: Path) -> None:
    """The curves themselves, one panel for each dimension."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(grid.dimensions), figsize=(6 * len(grid.dimensions), 4.5), squeeze=False)
    for axis, dimension in zip(axes[0], grid.dimensions, strict=True):
        some = argparse.Namespace(**{**vars(grid), "dimensions": (dimension,)})
        for sampler in samplers:
            budget = next((b for b in sorted(grid.budgets)[::-1] if loaded(cache, sampler, some, b) is not None), None)
            if budget is not None:
                traces = loaded(cache, sampler, some, budget)
                assert traces is not None
                share = np.mean([(traces <= target).mean(axis=(0, 1)) for target in TARGETS], axis=0)
                axis.step(np.arange(1, budget + 1), share, where="post", label=sampler)
        axis.set(xscale="log", xlabel="evaluations", ylabel="share of targets met", title=f"bbob, {dimension}-D")
        axis.grid(alpha=0.3)
    axes[0][0].legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.bbob", description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("run", "report"))
    parser.add_argument("cache", type=Path, help="folder of the traces, outside the repository")
    parser.add_argument("--samplers", nargs="+", help=f"of {', '.join(PEERS)} or names in conf/search")
    parser.add_argument("--functions", nargs="+", type=int, default=FUNCTIONS)
    parser.add_argument("--dimensions", nargs="+", type=int, default=DIMENSIONS)
    parser.add_argument("--instances", nargs="+", type=int, default=TUNING)
    parser.add_argument("--budgets", nargs="+", type=int, default=BUDGETS, help="a run has the largest")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="report: into docs/benchmarks.md")
    parser.add_argument("--plot", type=Path, help="report: a picture of the curves (svg or png)")
    options = parser.parse_args(words)
    samplers = options.samplers or sorted(path.name for path in options.cache.iterdir() if path.is_dir())
    if options.action == "run":
        problems = itertools.product(samplers, options.instances, options.functions, options.dimensions)
        run((Cell(s, f, d, i, max(options.budgets)) for s, i, f, d in problems), options.cache, options.processes)
        return
    limits, text = report(options.cache, samplers, options)
    command = f"python -m tests.benchmarks.bbob report CACHE --instances {' '.join(map(str, options.instances))}"
    section = Section("Searches on real-valued functions (COCO bbob)", command, limits, f"{ABOUT}\n\n{text}")
    print(section.markdown())
    if options.write:
        write([section])
    if options.plot:
        plot(options.cache, samplers, options, options.plot)


if __name__ == "__main__":
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        if os.environ.get(name) != "1":  # before numpy is loaded: a run has one core
            os.environ[name] = "1"
            os.execv(sys.executable, [sys.executable, "-m", "tests.benchmarks.bbob", *sys.argv[1:]])
    main()
