"""The covariance matrix adaptation evolution strategy: the strong baseline where genes are real numbers.

Hansen 2016, "The CMA Evolution Strategy: A Tutorial" (arXiv:1604.00772); for whole numbers and ordinals CMA-ES with
margin, Hamano et al. 2022, "CMA-ES with Margin: Lower-Bounding Marginal Probability for Mixed-Integer Black-Box
Optimization" (arXiv:2205.13482); restarts by Auger and Hansen 2005, "A Restart CMA Evolution Strategy With Increasing
Population Size" (doi:10.1109/CEC.2005.1554902). The steps are those of the package ``cmaes`` (Nomura and Shibata
2024, arXiv:2402.01373).

    x_i   ~ N(m, s^2 C), i = 1 .. popsize, in the unit cube of the genes; x_i outside is drawn again
    m     = sum of w_i x_i over the better half, log-rank weights w_i
    s, C  are adapted to the steps that were selected, and to the path that m takes
    margin: a rounded gene keeps a probability of at least 1 / (d popsize) to take another value than m's

There is no barrier: whoever asks gets a draw from the distribution as it is, and the first ``popsize`` evaluations to
come back make the update, also those whose draw is older than the last one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import cmaes
import numpy as np
from numpy.typing import NDArray

from nestedga.errors import SettingError
from nestedga.population.genes import CategoricalGene, FloatGene, Gene, IntGene, OrdinalGene
from nestedga.population.member import Evaluation, Member
from nestedga.search.base import Asynchronous, Birth, rng_for
from nestedga.search.base.axes import Axes
from nestedga.search.sampling.design import unit_points


@dataclass(eq=False, kw_only=True)
class CmaEs(Asynchronous):
    """CMA-ES over float, int and ordinal genes.

    Attributes:
        popsize: evaluations that make one update, 4 or more; None: 4 + floor(3 ln d) for d genes, Hansen 2016, eq. 48.
        initial_deviation: of the first draws, in unit space, around its middle; above 0. Default 0.3: Hansen 2016,
            appendix A, for an optimum that lies somewhere in the range.
        growth: of ``popsize`` whenever the distribution has converged, or burst, and the search begins anew at a random
            place; 1 or more. Default 2: Auger and Hansen 2005.
    """

    needs_unit_space: ClassVar[bool] = True

    popsize: int | None = None
    initial_deviation: float = 0.3
    growth: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._axes = Axes(self.space)  # of the distribution
        self._genes = self._axes.genes
        self._check_space()
        self.check(self.popsize is None or self.popsize >= 4, "popsize", "is too few to rank; use 4 or more, or null")
        self.check(self.initial_deviation > 0.0, "initial_deviation", "draws one point only; use a number above 0")
        self.check(self.growth >= 1.0, "growth", "shrinks popsize at a restart; use 1 or more")
        self._num_restarts = 0
        self._told: list[tuple[Evaluation, NDArray[np.float64]]] = []  # since the last update
        self._begin()
        size = self._optimiser.population_size
        self.check(self.length >= size, "evaluations", f"is not one update of popsize={size}; use more")
        self._points: dict[int, tuple[int, NDArray[np.float64]]] = {}  # of members out: restarts before, and point

    def adopt(self, member: Member) -> None:
        super().adopt(member)
        self._points[member.id] = self._num_restarts, self._point(member)

    def _birth(self, rng: np.random.Generator, member_id: int) -> Birth:
        return Birth(self._axes.genotype(self._draw(member_id)[0]))

    def _learn(self, member: Member, evaluation: Evaluation) -> None:
        restart, point = self._points.pop(member.id)
        if restart < self._num_restarts:
            return
        self._told.append((evaluation, point))
        if len(self._told) < self._optimiser.population_size:
            return
        told, self._told = self._told, []
        foms = [e.fom for e, _ in told if e.ok]
        if not foms:
            return  # nothing to learn from a generation of failures
        # A failed member counts as much as the worst, and behind it.
        told.sort(key=lambda t: (not t[0].ok, t[0].fom if t[0].ok else 0.0, t[0].member_id))
        self._optimiser.tell([(point, e.fom if e.ok else max(foms)) for e, point in told])
        if self._optimiser.should_stop():
            self._num_restarts += 1
            self._begin()

    def _begin(self) -> None:
        d = len(self._genes)
        start = unit_points("random", self.seed, self._num_restarts, d)[-1] if self._num_restarts else np.full(d, 0.5)
        steps = np.array([_step(gene) for gene in self._genes])
        bounds = np.stack([steps / 2.0, 1.0 - steps / 2.0], axis=1)
        first = self.popsize or 4 + math.floor(3 * math.log(d))
        # Without a rounded gene, CMA-ES with margin is CMA-ES.
        self._optimiser = cmaes.CMAwM(
            mean=bounds[:, 0] + start * (bounds[:, 1] - bounds[:, 0]),
            sigma=self.initial_deviation,
            bounds=bounds,
            steps=steps,
            population_size=round(first * self.growth**self._num_restarts),
        )

    def _draw(self, member_id: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A member's draw from the distribution as it is: with rounded genes rounded, and as it was before."""
        self._optimiser.reseed_rng(int(rng_for(self.seed, member_id).integers(2**32)))
        rounded, raw = self._optimiser.ask()
        return rounded, raw

    def _point(self, member: Member) -> NDArray[np.float64]:
        """What the optimiser is told that a member was.

        CMA-ES with margin learns from draws before they are rounded (Hamano et al. 2022, algorithm 1), and a genotype
        does not tell them. But a draw is a function of member id and distribution, and a member is adopted at the
        place in history at which it was asked, so it is drawn again.
        """
        point = self._axes.unit(member.genotype)
        rounded = [i for i, gene in enumerate(self._genes) if not isinstance(gene, FloatGene)]
        if rounded:
            draw, raw = self._draw(member.id)
            for i in rounded:
                gene = self._genes[i]
                if gene.from_unit(draw[i]) == member.genotype[gene.path]:
                    point[i] = raw[i]
        return point

    def _check_space(self) -> None:
        choices = [gene.path for gene in self._genes if isinstance(gene, CategoricalGene)]
        hanging = list(self.space.conditions)
        remedy = "leave it out of space, or take another search, as genetic"
        if choices:
            raise SettingError(f"cma_es needs genes with an order; space.{choices[0]} has none: {remedy}")
        if hanging:
            raise SettingError(f"cma_es needs genes that are always active; space.{hanging[0]} is not: {remedy}")
        if not self._genes:
            raise SettingError("space has no gene that can vary; every ordinal has a single choice")


def _step(gene: Gene) -> float:
    """From one value to the next in unit space; 0 for real numbers.

    The package's margin knows equal steps only: whole numbers on a log scale are rounded without one.
    """
    if isinstance(gene, OrdinalGene):
        return 1.0 / len(gene.choices)
    if isinstance(gene, IntGene) and not gene.log:
        return 1.0 / (gene.high - gene.low + 1)
    return 0.0
