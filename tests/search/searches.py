"""Every search that the laws are run over, and what tests of searches share."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nestedga.genes import CategoricalGene, FloatGene, IntGene, OrdinalGene
from nestedga.member import Evaluation, Member, Status
from nestedga.search.base import Asynchronous, Search
from nestedga.search.genetic import Genetic
from nestedga.search.pbt import PBT
from nestedga.space import Space

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
    """

    make: Callable[..., Search]
    barrier: bool = False
    learns: bool = True
    breeds: bool = True
    space: Space = SPACE
    seeds: int = 20

    def build(self, *, seed=0, population_size=4, generations=5, inherit="weights", **more) -> Search:
        """The search with ``population_size * generations`` evaluations."""
        kind = self.make.func if isinstance(self.make, functools.partial) else self.make
        length = {"generations": generations}
        if issubclass(kind, Asynchronous):
            length = {"evaluations": population_size * generations}
        settings = {"seed": seed, "budget": 1, "population_size": population_size, "inherit": inherit, **length, **more}
        return self.make(settings.pop("space", self.space), **settings)


SEARCHES = {
    "genetic": Entry(Genetic, barrier=True),
    "genetic_elite": Entry(functools.partial(Genetic, elites=1), barrier=True),
    "pbt": Entry(PBT, barrier=True),
    "pbt_half": Entry(functools.partial(PBT, truncation=0.5), barrier=True),
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
