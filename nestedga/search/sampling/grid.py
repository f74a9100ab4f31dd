"""Grids: every combination of some values of each gene, once or again around the best.

`grid` is the plain product. `iterative_grid` contracts it: Hesterman et al. 2010, "Maximum-likelihood estimation with a
contracting-grid search algorithm" (doi:10.1109/TNS.2010.2045898), here around several centres.

    values of a gene = `points` places evenly spread over its scale, ends included; all choices of a categorical or
                       ordinal gene; all values of a whole number where there are at most `points`
    round 0          = every combination of values in which just the active genes have one
    round r          = around each of the `best` centres so far, a grid over a window of zoom^r of each gene's range,
                       less what was evaluated before
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nestedga.population.genes import CategoricalGene, ConstantGene, IntGene, OrdinalGene, UnitGene
from nestedga.population.member import Evaluation, GeneValue, Genotype, Member
from nestedga.population.space import Space
from nestedga.population.values import distinct, same
from nestedga.search.base import Asynchronous, Birth, check_kinds, rng_for
from nestedga.search.base.ranking import ranked

LIMIT = 1_000_000  # points of a grid; more than anybody trains, and what fits into memory; ours

Axes = Mapping[str, tuple[GeneValue, ...]]
"""The values that each gene takes, each value once."""


class Lattice:
    """All combinations of values, made one at a time and never as a whole.

    The genes on which others hang are combined first; each combination of theirs decides which others are active, and
    is a plain product of those. So no two points are the same.

    Args:
        space: the genes.
        axes: their values.

    Attributes:
        size: how many points; some number above ``LIMIT`` where there are more than that.
    """

    def __init__(self, space: Space, axes: Axes) -> None:
        self._space, self._axes = space, axes
        parents = {parent for condition in space.conditions.values() for parent, _ in condition}
        self._switches = [path for path in space.paths if path in parents]
        self._products: list[tuple[Genotype, list[str]]] = []  # values of switches, and the other active genes
        self._ends: list[int] = []  # how many points there are up to each product's end
        self.size = 0
        for chosen in self._combined({}):
            rest = [path for path in space.paths if path not in chosen and space.is_active(path, chosen)]
            self.size += math.prod(len(axes[path]) for path in rest)
            self._products.append((chosen, rest))
            self._ends.append(self.size)
            if self.size > LIMIT:
                return

    def at(self, index: int) -> Genotype:
        """One of the points, ``0 <= index < size``."""
        number = bisect_right(self._ends, index)
        chosen, rest = self._products[number]
        index -= self._ends[number - 1] if number else 0
        genotype = dict(chosen)
        for path in rest:
            index, at = divmod(index, len(self._axes[path]))
            genotype[path] = self._axes[path][at]
        return {path: genotype[path] for path in self._space.paths if path in genotype}

    def _combined(self, chosen: Genotype) -> Iterator[Genotype]:
        """All combinations of the switches; one that is active stays so, whatever else is chosen."""
        left = [path for path in self._switches if path not in chosen and self._space.is_active(path, chosen)]
        if not left or math.prod(len(self._axes[path]) for path in left) > LIMIT:  # too large: no need to go on
            yield chosen
            return
        for value in self._axes[left[0]]:
            yield from self._combined({**chosen, left[0]: value})


def spread(gene: UnitGene, points: int, low: float = 0.0, high: float = 1.0) -> tuple[GeneValue, ...]:
    """Values of a gene at places evenly spread over part of its scale in unit space, each value once."""
    return distinct(gene.from_unit(float(unit)) for unit in np.linspace(low, high, points))


@dataclass(eq=False, kw_only=True)
class Grid(Asynchronous):
    """Evaluates every point of a grid, in an order drawn from the seed, so that a run cut short has been everywhere.

    Attributes:
        points: values of a real gene, and the most of a whole number, 2 or more; 5 is ours. They alone say how many
            evaluations there are; ``generations`` and ``evaluations``, which an experiment may set, do not.
    """

    multi_objective: ClassVar[bool] = True
    needs_unit_space: ClassVar[bool] = True

    points: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(self.points >= 2, "points", "is no grid; use 2 or more")
        self._lattice = Lattice(self.space, self._axes())
        self.check(
            self._largest() <= LIMIT,
            "points",
            f"makes a grid of {self._sum()}, above {LIMIT:,}; use fewer points, or take genes out of the space",
        )
        self.length = self._lattice.size

    def _largest(self) -> int:
        """The most evaluations that there may be."""
        return self._lattice.size

    def _sum(self) -> str:
        product = " x ".join(f"{len(values)} ({path})" for path, values in self._axes().items() if len(values) > 1)
        most = "at most " if self.space.conditions else ""
        return f"{most}{product} = {math.prod(map(len, self._axes().values())):,} points"

    def _axes(self) -> dict[str, tuple[GeneValue, ...]]:
        axes = {gene.path: self._values(gene) for gene in self.space.unit_genes}
        # Values on which other genes hang are never thinned out.
        for condition in self.space.conditions.values():
            for parent, values in condition:
                axes[parent] += tuple(v for v in values if not any(same(v, other) for other in axes[parent]))
        return axes

    def _values(self, gene: UnitGene) -> tuple[GeneValue, ...]:
        match gene:
            case CategoricalGene(choices=choices) | OrdinalGene(choices=choices):
                return choices
            case IntGene(low=low, high=high) if high - low < self.points:
                return tuple(range(low, high + 1))
            case ConstantGene(value=value):
                return (value,)
        return spread(gene, self.points)

    def _birth(self, rng: np.random.Generator, member_id: int) -> Birth:
        return Birth(self._lattice.at(int(self._order[member_id])))

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        return rng_for(self.seed).permutation(self._lattice.size)


@dataclass(eq=False, kw_only=True)
class IterativeGrid(Grid):
    """A coarse grid, then finer ones around the best points. All that was evaluated stays in the journal.

    A round begins when the one before is told whole; where everybody has failed so far, there is nothing to zoom to,
    and the search is over. A categorical gene keeps the centre's choice.

    Attributes:
        rounds: how many grids follow each other, the coarse one counted, 1 or more; 3 is ours.
        zoom: the window of a round as a share of the one before, above 0 and below 1. 0.5: with 5 points, from the
            centre to its neighbours on both sides.
        best: how many centres a round has, 1 or more; 1 as published.
    """

    rounds: int = 3
    zoom: float = 0.5
    best: int = 1

    def __post_init__(self) -> None:
        check_kinds(self)
        self.check(self.rounds >= 1, "rounds", "evaluates nobody; use 1 or more")
        self.check(
            0.0 < self.zoom < 1.0, "zoom", "is no zoom; use a number above 0 and below 1, the share that is kept"
        )
        self.check(self.best >= 1, "best", "zooms to nothing; use 1 or more")
        super().__post_init__()
        self._round = 0
        self._zoomed: list[Genotype] = []  # the points of this round; of the first, the lattice makes them
        self._zoomed_from = 0  # their first member's id
        self._told: dict[int, tuple[Member, Evaluation]] = {}  # of this round, and the centres, by id
        self._seen: set[bytes] = set()  # points evaluated so far

    @property
    def num_evaluations(self) -> int | None:
        return self.length if self._round == self.rounds - 1 else None  # where the best lie is not known yet

    def _largest(self) -> int:
        # A zoomed grid has at most as many values of each gene as the coarse one.
        return self._lattice.size * (1 + self.best * (self.rounds - 1))

    def _sum(self) -> str:
        zoomed = f", and {self.best} x {self.rounds - 1} zoomed ones as large" if self.rounds > 1 else ""
        return super()._sum() + zoomed

    def _birth(self, rng: np.random.Generator, member_id: int) -> Birth:
        if self._round == 0:
            return super()._birth(rng, member_id)
        return Birth(self._zoomed[member_id - self._zoomed_from], generation=self._round)

    def _learn(self, member: Member, evaluation: Evaluation) -> None:
        self._seen.add(self._key(member.genotype))
        self._told[member.id] = (member, evaluation)
        # Where a round has no new point, the next one may.
        while self._next_id == self.length and not self._asked and self._round < self.rounds - 1:
            self._contract()

    def _contract(self) -> None:
        """Begins the next round."""
        viable = [evaluation for evaluation in ranked(e for _, e in self._told.values()) if evaluation.ok]
        self._told = {e.member_id: self._told[e.member_id] for e in viable[: self.best]}
        self._round += 1
        points: dict[bytes, Genotype] = {}
        for centre, _ in self._told.values():
            lattice = Lattice(self.space, self._around(centre.genotype))
            for genotype in map(lattice.at, range(lattice.size)):
                if (key := self._key(genotype)) not in self._seen:
                    points[key] = genotype
        order = rng_for(self.seed, self._round).permutation(len(points))
        genotypes = list(points.values())
        self._zoomed = [genotypes[i] for i in order]
        self._zoomed_from = self.length
        self.length += len(points)

    def _around(self, centre: Genotype) -> Axes:
        """Values in this round's window around a centre; of genes that the centre lacks, the coarse grid's."""
        axes, width = self._axes(), self.zoom**self._round
        for gene in self.space.unit_genes:
            if gene.path not in centre:
                continue
            value = centre[gene.path]
            if isinstance(gene, CategoricalGene | ConstantGene):
                axes[gene.path] = (value,)
            else:
                low = min(max(gene.to_unit(value) - width / 2.0, 0.0), 1.0 - width)
                axes[gene.path] = spread(gene, self.points, low, low + width)
        return axes

    def _key(self, genotype: Genotype) -> bytes:
        """Equal for points that differ by rounding only, as two ways to the same one may."""
        return (self.space.to_unit(genotype).round(12) + 0.0).tobytes()  # + 0.0: of -0.0 makes 0.0
