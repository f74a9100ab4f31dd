"""Population based training in which a Gaussian process explores: population based bandits.

Parker-Holder et al. 2020, "Provably Efficient Online Hyperparameter Optimization with Population-Based Bandits"
(arXiv:2002.02518), algorithm 1. Slots exploit as in PBT. Who copied another gets genes that a model chooses:

    data      (t, x, y): in generation t a slot trained with the genes x and improved by y
    kernel    k((t, x), (t', x')) = v exp(-|x - x'|^2 / (2 h^2)) (1 - eps)^(|t - t'| / 2)          (section 4)
    next x    argmax mean(t, x) + sqrt(beta_t) deviation(t, x)

The deviation also knows of the slots of this generation that have their genes already; the mean does not (section 4,
after Desautels et al. 2014). Genes are points of the unit cube. The model learns those that are numbers or ordered and
always active; the others, and those that ``explore_genes`` names, are explored as in PBT.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from nestedga.errors import SettingError
from nestedga.population.genes import FloatGene, IntGene, OrdinalGene
from nestedga.population.member import Evaluation, Genotype, Member
from nestedga.search.base import Birth
from nestedga.search.model_based.gaussian_process import GaussianProcess, squared_distances
from nestedga.search.pbt.lines import Line
from nestedga.search.pbt.pbt import PBT

Floats = NDArray[np.float64]

# sqrt(beta_t) with beta_t = C1 + max(0, log(C2 n)) for n points: the authors' implementation in Ray Tune.
C1, C2 = 0.2, 0.4
CANDIDATES, STARTS = 500, 3  # random points, and how many of the best are improved; ours
FIT_ITERATIONS, EXPLORE_ITERATIONS = 20, 50  # of L-BFGS-B; ours

# The prior of the logarithms of v, h and -log(1 - eps); then of the noise variance. Ours.
USUAL = np.log([1.0, 0.5, 0.1, 0.1])
SPREAD = np.array([1.0, 1.0, 1.5, 2.0])


class TimeVarying:
    """The kernel above, for points whose first column is t; parameters v, h and -log(1 - eps)."""

    def covariance(self, log: Floats, a: Floats, b: Floats) -> Floats:
        variance, length, fading = np.exp(log)
        ages = np.abs(a[:, :1] - b[:, 0])
        distances = squared_distances(a[:, 1:], b[:, 1:])
        return np.asarray(variance * np.exp(-distances / (2.0 * length**2) - fading * ages / 2.0))

    def variance(self, log: Floats, points: Floats) -> Floats:
        return np.full(len(points), math.exp(log[0]))

    def derivatives(self, log: Floats, points: Floats) -> list[Floats]:
        _, length, fading = np.exp(log)
        covariance = self.covariance(log, points, points)
        ages = np.abs(points[:, :1] - points[:, 0])
        distances = squared_distances(points[:, 1:], points[:, 1:])
        return [covariance, covariance * distances / length**2, -covariance * fading * ages / 2.0]

    def slope(self, log: Floats, at: Floats, points: Floats) -> tuple[Floats, Floats]:
        """The first column is 0: nobody moves in time."""
        covariance = self.covariance(log, at[None], points)[0]
        slope = covariance[:, None] * (points - at) / math.exp(2.0 * log[1])
        slope[:, 0] = 0.0
        return slope, np.zeros_like(at)


@dataclass(eq=False, kw_only=True)
class PB2(PBT):
    """Population based bandits, generation by generation.

    Attributes:
        max_points: how many of the latest intervals the model learns from; exploring costs their number cubed. Ours.
    """

    multi_objective = False
    slow = True

    max_points: int = 200

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(self.max_points >= 2, "max_points", "teaches nothing; use 2 or more")
        self._learned = [
            gene
            for gene in self.space
            if isinstance(gene, FloatGene | IntGene | OrdinalGene)
            and gene.path not in {*self.space.conditions, *(self.explore_genes or ())}
        ]
        if not self._learned:
            raise SettingError(
                "pb2 needs a gene that is a number or ordered and always active; space has none: use search=pbt"
            )
        self._data: deque[tuple[Floats, float]] = deque(maxlen=self.max_points)  # (t, x) and y, in order of (t, slot)
        self._chosen: dict[int, Floats] = {}  # by slot: (t, x) of members of this generation that are known already

    def adopt(self, member: Member) -> None:
        super().adopt(member)
        self._chosen[member.slot] = self._point(member.generation, member.genotype)

    def _born(self, rng: np.random.Generator, slot: int) -> Birth:
        birth = super()._born(rng, slot)
        self._chosen[slot] = self._point(self._generation, birth.genotype)
        return birth

    def _point(self, generation: int, genotype: Genotype) -> Floats:
        return np.array([generation, *(gene.to_unit(genotype[gene.path]) for gene in self._learned)])

    def _turned(self) -> None:
        self._chosen = {}
        super()._turned()

    def _arrive(self, member: Member, evaluation: Evaluation) -> None:
        parent = self._parents[member.id]
        if parent is not None and parent.ok and evaluation.ok:
            point = self._point(member.generation, member.genotype)
            self._data.append((point, parent.evaluation.fom - evaluation.fom))
        super()._arrive(member, evaluation)

    def _explore(self, rng: np.random.Generator, line: Line, donor: Line, genotype: Genotype) -> Genotype:
        explored = super()._explore(rng, line, donor, genotype)
        if len(self._data) < 2:
            return explored
        # Only slots before this one: which of the later ones are known hangs on who asked, and when.
        pending = [point for slot, point in sorted(self._chosen.items()) if slot < line.slot]
        chosen = self._promising(rng, np.array(pending).reshape(-1, 1 + len(self._learned)))
        values = {gene.path: gene.from_unit(unit) for gene, unit in zip(self._learned, chosen, strict=True)}
        return self.space.completed(rng, {**explored, **values})

    def _promising(self, rng: np.random.Generator, pending: Floats) -> Floats:
        """Where the upper confidence bound of the improvement is largest now; shape (num_learned,)."""
        process = improvements(list(self._data)).fit(FIT_ITERATIONS).condition(pending)
        kappa = math.sqrt(C1 + max(0.0, math.log(C2 * len(self._data))))
        d = len(self._learned)
        candidates = np.column_stack([np.full(CANDIDATES, self._generation), rng.random((CANDIDATES, d))])
        mean, deviation = process.predict(candidates)
        starts = candidates[np.argsort(mean - kappa * deviation, kind="stable")[:STARTS]]
        bounds = [(self._generation, self._generation), *[(0.0, 1.0)] * d]
        options = {"maxiter": EXPLORE_ITERATIONS}
        found = [
            minimize(
                process.lower_bound, start, args=(kappa,), jac=True, method="L-BFGS-B", bounds=bounds, options=options
            )
            for start in starts
        ]
        return np.asarray(min(found, key=lambda result: float(result.fun)).x[1:])


def improvements(data: Sequence[tuple[Floats, float]]) -> GaussianProcess:
    """A model of improvements, turned round, for the process minimises; they have mean 0 and deviation 1."""
    values = np.array([improvement for _, improvement in data])
    targets = -(values - values.mean()) / max(values.std(), np.finfo(float).tiny)
    points = np.array([point for point, _ in data])
    return GaussianProcess(TimeVarying(), points, targets, np.ones((len(data), 1)), USUAL, SPREAD)
