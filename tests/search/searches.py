"""Every search that the laws are run over, and what tests of searches share."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from optuna.samplers import RandomSampler

from nestedga.population.genes import CategoricalGene, ConstantGene, FloatGene, IntGene, OrdinalGene
from nestedga.population.member import Evaluation, Member, Status
from nestedga.population.space import Space
from nestedga.search.base import Search
from nestedga.search.evolution.cma_es import CmaEs
from nestedga.search.evolution.genetic import Genetic
from nestedga.search.evolution.steady_state import SteadyState
from nestedga.search.model_based.model_based import ModelBased
from nestedga.search.model_based.trust_region import TrustRegion
from nestedga.search.pbt.fire import FIRE
from nestedga.search.pbt.multiple_frequencies import MultipleFrequencies
from nestedga.search.pbt.pb2 import PB2
from nestedga.search.pbt.pbt import PBT, AsynchronousPBT
from nestedga.search.pbt.replay import Replay, Segment
from nestedga.search.sampling.design import DESIGNS
from nestedga.search.sampling.grid import Grid, IterativeGrid
from nestedga.search.sampling.sampling import Sampling
from nestedga.search.wrappers.agebo import AgEBO
from nestedga.search.wrappers.optuna_search import OptunaSearch
from nestedga.search.wrappers.rungs import MedianStopping, SuccessiveHalving

SPACE = Space(
    (
        FloatGene("optimizer.lr", 1e-4, 1.0, log=True),
        FloatGene("optimizer.momentum", 0.0, 0.99),
        IntGene("model.width", 1, 64),
        OrdinalGene("data.batch_size", (16, 32, 64)),
        CategoricalGene("model.skip", (False, True)),
        FloatGene("model.skip_scale", 0.0, 1.0),
    ),
    {"model.skip_scale": (("model.skip", (True,)),)},
)

ORDERED = SPACE.subspace(("optimizer.lr", "optimizer.momentum", "model.width", "data.batch_size"))  # for cma_es
REALS = Space((*SPACE.subspace(("optimizer.lr", "optimizer.momentum")), ConstantGene("model.width", 20)))
FOUNDER = {
    "optimizer.lr": 0.1,
    "optimizer.momentum": 0.5,
    "model.width": 32,
    "data.batch_size": 32,
    "model.skip": False,
}


@dataclass(frozen=True)
class Entry:
    """A search under the laws.

    Attributes:
        make: the class, or a partial of it with further settings.
        barrier: the result depends neither on the number of groups nor on the order of tells.
        learns: it beats random sampling on a bowl.
        breeds: members have parents.
        space: on which it runs.
        seeds: of the comparison with random sampling; fewer where a search is slow.
        sized: it evaluates as many as it is told to; false where its other settings say how many.
        scripted: it draws nothing and has no population: the genes are given to it.
        around: a wrapper for early stopping around ``make``; then there are so many individuals, and more members.
    """

    make: Callable[..., Search]
    barrier: bool = False
    learns: bool = True
    breeds: bool = True
    space: Space = SPACE
    seeds: int = 20
    sized: bool = True
    scripted: bool = False
    around: functools.partial[Search] | None = None

    @property
    def takes_immigrants(self) -> bool:
        kind = self.make.func if isinstance(self.make, functools.partial) else self.make
        return not self.around and kind.takes_immigrants

    def individuals(self, members: list[Member]) -> list[Member]:
        """The members that do not continue another as its next rung."""
        rungs = len(self.around.keywords["rungs"]) if self.around else 1
        return [member for member in members if member.id % rungs == 0]

    def build(self, *, seed=0, population_size=4, generations=5, inherit="weights", **more) -> Search:
        """The search with ``population_size * generations`` evaluations."""
        kind = self.make.func if isinstance(self.make, functools.partial) else self.make
        length = {"generations": generations, "evaluations": population_size * generations}
        usual = {"seed": seed, "budget": 1, "population_size": population_size, "inherit": inherit, **length}
        settings = {name: value for name, value in usual.items() if name in inspect.signature(kind).parameters} | more
        space = settings.pop("space", self.space)
        if self.around:
            given = {name: settings.pop(name) for name in ("seed", "budget")}
            return self.around(space, **given, wrapped=functools.partial(self.make, **settings))
        return self.make(space, **settings)


SMALL = {"trees": 3, "candidates": 100, "max_points": 100}  # a model that learns quickly

SEARCHES = {
    "genetic": Entry(Genetic, barrier=True),
    "genetic_elite": Entry(functools.partial(Genetic, elites=1), barrier=True),
    "genetic_demes": Entry(functools.partial(Genetic, demes=2, migration_interval=2, topology="random"), barrier=True),
    "genetic_intervals": Entry(functools.partial(Genetic, intervals=2, weights="average"), barrier=True),
    "genetic_real": Entry(
        functools.partial(Genetic, selection="tournament", crossover="simulated_binary", mutation="polynomial"),
        barrier=True,
    ),
    "genetic_founder": Entry(functools.partial(Genetic, founder=FOUNDER, elites=1), barrier=True),
    "steady_state": Entry(SteadyState),
    "steady_state_worst": Entry(
        functools.partial(SteadyState, replace="worst", weights="layerwise", crossover="blend")
    ),
    "steady_state_demes": Entry(functools.partial(SteadyState, demes=2, migration_rate=0.2, crossover="none")),
    "pbt": Entry(PBT, barrier=True),
    "pbt_half": Entry(functools.partial(PBT, truncation=0.5), barrier=True),
    "pbt_t_test": Entry(functools.partial(PBT, exploit="t_test"), barrier=True, learns=False),
    "pbt_tournament": Entry(functools.partial(PBT, exploit="tournament", explore="mutate"), barrier=True),
    "pbt_hyperparameters": Entry(functools.partial(PBT, copy="hyperparameters"), barrier=True),
    "pbt_weights": Entry(functools.partial(PBT, copy="weights", ready=2, burn_in=2), barrier=True, learns=False),
    "pbt_backtracking": Entry(functools.partial(PBT, patience=1, ready=3), barrier=True),
    "pbt_async": Entry(AsynchronousPBT),
    "multiple_frequencies": Entry(functools.partial(MultipleFrequencies, frequencies=(1, 2)), barrier=True),
    "fire": Entry(FIRE, barrier=True, learns=False),
    "pbt_async_backtracking": Entry(functools.partial(AsynchronousPBT, exploit="tournament", patience=1, ready=2)),
    "asha_genetic": Entry(Genetic, learns=False, around=functools.partial(SuccessiveHalving, rungs=[1, 3, 9])),
    "asha_random": Entry(
        Sampling, learns=False, breeds=False, around=functools.partial(SuccessiveHalving, rungs=[1, 3, 9])
    ),
    "median_pbt": Entry(PBT, learns=False, around=functools.partial(MedianStopping, rungs=[2, 3, 4])),
    "pb2": Entry(PB2, barrier=True, seeds=3),
    "trust_region": Entry(TrustRegion, breeds=False, space=ORDERED, seeds=3),
    "trust_region_reals": Entry(TrustRegion, breeds=False, space=REALS, seeds=3),
    "model_based": Entry(functools.partial(ModelBased, **SMALL), breeds=False, seeds=5),
    "model_based_hedge": Entry(
        functools.partial(ModelBased, acquisition="hedge", surrogate="forest", failed="ignored", liar="max", **SMALL),
        breeds=False,
        seeds=5,
    ),
    "agebo": Entry(
        functools.partial(
            AgEBO, evolved=["model"], evolution=SteadyState, model=functools.partial(ModelBased, **SMALL)
        ),
        seeds=5,
    ),
    "cma_es": Entry(CmaEs, breeds=False, space=ORDERED),
    "cma_es_reals": Entry(CmaEs, breeds=False, space=REALS),
    "optuna_random": Entry(functools.partial(OptunaSearch, sampler=RandomSampler), learns=False, breeds=False),
    **{
        design: Entry(functools.partial(Sampling, design=design), barrier=True, learns=False, breeds=False)
        for design in DESIGNS
    },
    "grid": Entry(Grid, barrier=True, learns=False, breeds=False, sized=False),
    "iterative_grid": Entry(
        functools.partial(IterativeGrid, points=2, rounds=4, best=2),
        barrier=True,
        learns=False,
        breeds=False,
        sized=False,
        space=SPACE.subspace(("optimizer.lr", "optimizer.momentum", "model.width")),
    ),
    "replay": Entry(
        functools.partial(Replay, schedule=[Segment(SPACE.sample(np.random.default_rng(i)), i) for i in range(1, 21)]),
        barrier=True,
        learns=False,
        breeds=False,
        sized=False,
        scripted=True,
    ),
}


def bowl(member: Member) -> float:
    """A figure of merit with its minimum inside the space."""
    lr, momentum = member.genotype["optimizer.lr"], member.genotype["optimizer.momentum"]
    return (math.log10(lr) + 2.0) ** 2 + (momentum - 0.9) ** 2 + 0.01 * abs(member.genotype["model.width"] - 20)


def evaluate(member: Member, fails=frozenset()) -> Evaluation:
    """The bowl's evaluation, or a failed one."""
    if member.id in fails:
        return Evaluation(member.id, math.nan, Status.FAILED)
    return Evaluation(member.id, bowl(member))


def immigrant(entry: Entry, number: int, *, fom: float | None = None) -> tuple[Member, Evaluation]:
    """The number-th immigrant, from 1, out of a population of four; as good as its genes, or as told."""
    rng = np.random.default_rng([number, 4])
    member = Member(-number, int(rng.integers(4)), int(rng.integers(9)), entry.space.sample(rng), (), (), 1)
    return member, Evaluation(member.id, bowl(member) if fom is None else fom)


def run(search: Search, *, groups=1, fails=frozenset(), shuffle=None, evaluate=evaluate) -> list[Member]:
    """Drives a search with some groups whose evaluations come back in a shuffled order; gives all members."""
    rng = np.random.default_rng(shuffle)
    members, flying = [], []
    while not search.done:
        asked = search.ask(groups - len(flying))
        members += asked
        flying += asked
        assert flying, "not done, nothing in flight, and yet ask answers nothing"
        search.tell(evaluate(flying.pop(rng.integers(len(flying)) if shuffle is not None else 0), fails))
    return members


def generation(search: Search, foms: list[float]) -> list[Member]:
    """Runs the first generation with given FoMs and gives the second."""
    for member, fom in zip(search.ask(len(foms)), foms, strict=True):
        search.tell(Evaluation(member.id, fom))
    return search.ask(len(foms))
