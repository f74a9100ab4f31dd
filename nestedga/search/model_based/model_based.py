"""Model-based search without a barrier: a forest learns the figure of merit, and who asks is sent where it hopes most.

After DeepHyper: Balaprakash et al. 2018, "DeepHyper: Asynchronous Hyperparameter Search for Deep Neural Networks"
(doi:10.1109/HiPC.2018.00014). A forest as the model: Hutter et al. 2011, "Sequential Model-Based Optimization for
General Algorithm Configuration" (doi:10.1007/978-3-642-25566-3_40).

    the first members: a design that fills the space
    then:
        y          = normal quantile of (place among the known points - 1/2) / their number
        forest     = fit(known points, y), lied to about points in flight
        candidates = some anywhere, mutants of the best known, mutants of the most promising of both
        next       = the most promising candidate that is not known

Only places count, so that no outlier matters and several objectives are as good as one; their normal scores tell apart
the best, and the worst, better than those in between: Salinas et al. 2020, "A Quantile-based Approach for
Hyperparameter Transfer Learning" (arXiv:1909.13595).

Points in flight: a constant lie, Ginsbourger et al. 2010, "Kriging is well-suited to parallelize optimization"
(doi:10.1007/978-3-642-10701-6_6). Or none, and each member has a kappa of its own, drawn from an exponential
distribution: Egele et al. 2023, "Asynchronous Decentralized Bayesian Optimization for Large Scale Hyperparameter
Optimization" (arXiv:2207.00479).

``hedge`` lets a portfolio nominate each member: see acquisition.py. A nominee's reward is the share of the newest known
points that it beats.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from nestedga.population.member import Evaluation, Genotype, Member
from nestedga.search.base import Asynchronous, Birth, rng_for
from nestedga.search.base.ranking import scores
from nestedga.search.model_based.acquisition import (
    Portfolio,
    expected_improvement,
    lower_confidence_bound,
    probability_of_improvement,
)
from nestedga.search.model_based.encoding import Encoding, Floats
from nestedga.search.model_based.surrogate import SURROGATES, Features, Forest
from nestedga.search.sampling.design import DESIGNS, unit_points

PORTFOLIO = ("lcb", "ei", "pi")
KNOWN = {
    "initial": DESIGNS,
    "surrogate": SURROGATES,
    "acquisition": (*PORTFOLIO, "hedge"),
    "liar": ("min", "mean", "max", "predicted", "none", "qlcb"),
    "failed": ("worst", "ignored"),
}
FOREST, NOMINATOR = 0, 1  # what a draw beside those of members is for: the third number of its generator
NUM_BEST = 10  # whose mutants are candidates; ours
NUM_RIVALS = 20  # newest known points that a nominee of the portfolio is measured by; ours


@dataclass(frozen=True, slots=True)
class Taught:
    """What the model was taught last.

    Attributes:
        points: known points, shape (n, len(space)).
        features: of these.
        targets: of these, shape (n,), smaller is better.
        forest: that learned them.
    """

    points: Floats
    features: Features
    targets: Floats
    forest: Forest


@dataclass(eq=False, kw_only=True)
class ModelBased(Asynchronous):
    """Model-based search over genes of all kinds; everybody is trained from scratch.

    Attributes:
        initial: design of the first members: ``sobol``, ``latin_hypercube`` or ``random``.
        initial_points: how many these are, from 1 to ``evaluations``. None: one more than twice the genes, as in
            DeepHyper, but no fewer than the slots, and no more than there are evaluations.
        surrogate: ``extra_trees`` or ``forest``.
        trees: how many, 1 or more; 10 is DeepHyper's.
        acquisition: ``lcb`` (lower confidence bound), ``ei`` (expected improvement), ``pi`` (probability of
            improvement) or ``hedge`` (a portfolio of the three).
        kappa: how many standard deviations below the mean ``lcb`` hopes, 0 or more; 1.96 is DeepHyper's.
        liar: the lie about points in flight: the ``min``, ``mean`` or ``max`` of what is known (min is the best), what
            is ``predicted`` there, or ``none``; ``qlcb``: none, and kappa is drawn for each member from an exponential
            distribution of mean ``kappa``.
        failed: points that failed are taken for the ``worst``, behind all others, or ``ignored``.
        candidates: points among which the next is chosen, 10 or more.
        max_points: known points that the forest learns at most, 10 or more: the newest half and the best of all others.
    """

    multi_objective: ClassVar[bool] = True
    slow: ClassVar[bool] = True
    needs_unit_space: ClassVar[bool] = True
    takes_immigrants: ClassVar[bool] = True

    initial: str = "sobol"
    initial_points: int | None = None
    surrogate: str = "extra_trees"
    trees: int = 10
    acquisition: str = "lcb"
    kappa: float = 1.96
    liar: str = "mean"
    failed: str = "worst"
    candidates: int = 1000
    max_points: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in KNOWN.items():
            self.check(getattr(self, name) in known, name, f"is unknown; known: {', '.join(known)}")
        lcb = self.liar != "qlcb" or self.acquisition == "lcb"
        self.check(lcb, "liar", f"draws kappas, which acquisition={self.acquisition} has not; use lcb or another liar")
        self.check(self.kappa >= 0.0, "kappa", "would shun what is unknown; use 0 or more")
        self.check(self.trees >= 1, "trees", "is no forest; use 1 or more")
        for name in ("candidates", "max_points"):
            self.check(getattr(self, name) >= 10, name, "is too few to choose or to learn from; use 10 or more")
        enough = self.initial_points is None or 1 <= self.initial_points <= self.length
        self.check(
            enough, "initial_points", f"must be from 1 to evaluations = {self.length}: the design is part of these"
        )
        usual = min(max(2 * len(self.space) + 1, self.population_size), self.length)
        self._num_initial = usual if self.initial_points is None else self.initial_points
        self._encoding = Encoding(self.space)
        self._flying: dict[int, Floats] = {}  # points of members that are out, by id
        self._known: list[tuple[Floats, Evaluation]] = []  # points told, in the order of telling
        self._num_told = 0
        self._taught: Taught | None = None  # None: something has come in since
        self._portfolio = Portfolio(PORTFOLIO, self.length)
        self._nominated: dict[int, tuple[str, float]] = {}  # by whom members out are nominated, and how probable it was

    def adopt(self, member: Member) -> None:
        super().adopt(member)
        self._flying[member.id] = self.space.to_unit(member.genotype)
        if self.acquisition == "hedge" and member.id >= self._num_initial:
            self._nominated[member.id] = self._nominator(member.id)

    def _birth(self, rng: np.random.Generator, member_id: int) -> Birth:
        if member_id < self._num_initial:
            return Birth(self.space.from_unit(self._design[member_id]))
        if not any(evaluation.ok for _, evaluation in self._known):
            return Birth(self.space.sample(rng))
        return Birth(self._most_promising(rng, member_id))

    def _learn(self, member: Member, evaluation: Evaluation) -> None:
        if member.id in self._nominated:
            self._portfolio.earn(*self._nominated.pop(member.id), self._reward(evaluation))
        self._add_known(self._flying.pop(member.id), evaluation)

    def immigrate(self, member: Member, evaluation: Evaluation) -> None:
        """One more known point."""
        self._add_known(self.space.to_unit(member.genotype), evaluation)

    def _add_known(self, point: Floats, evaluation: Evaluation) -> None:
        self._known.append((point, evaluation))
        self._num_told += 1
        self._taught = None
        if len(self._known) == 2 * self.max_points:
            self._known = self._kept()

    def _kept(self) -> list[tuple[Floats, Evaluation]]:
        """The known points that are learned from, in the order of telling."""
        if len(self._known) <= self.max_points:
            return self._known
        num_newest = self.max_points // 2
        older, newest = self._known[:-num_newest], self._known[-num_newest:]
        viable = [i for i, (_, evaluation) in enumerate(older) if evaluation.ok]
        order = np.argsort(scores([older[i][1] for i in viable]), kind="stable") if viable else np.array([], int)
        return [older[viable[i]] for i in sorted(order[: self.max_points - num_newest])] + newest

    def _teach(self) -> Taught:
        if self._taught is None:
            kept = self._kept()
            viable = [(point, evaluation) for point, evaluation in kept if evaluation.ok]
            failed = [point for point, evaluation in kept if not evaluation.ok and self.failed == "worst"]
            points = np.array([*(point for point, _ in viable), *failed])
            places = rankdata([*scores([evaluation for _, evaluation in viable]), *[np.inf] * len(failed)])
            features, targets = self._encoding.features(points), ndtri((places - 0.5) / len(places))
            # One forest for all who ask before the next evaluation, so it is keyed by the history, not by a member.
            rng = rng_for(self.seed, self._num_told, FOREST)
            self._taught = Taught(points, features, targets, Forest(self.surrogate, rng, features, targets, self.trees))
        return self._taught

    def _most_promising(self, rng: np.random.Generator, member_id: int) -> Genotype:
        taught = self._teach()
        flying = np.array([*self._flying.values()]).reshape(-1, len(self.space))
        lies = self._lies(taught, flying)
        acquisition = self._nominator(member_id)[0] if self.acquisition == "hedge" else self.acquisition
        kappa = rng.exponential(self.kappa) if self.liar == "qlcb" else self.kappa

        def promise(points: Floats) -> Floats:
            mean, deviation = taught.forest.predict(self._encoding.features(points), lies)
            if acquisition == "lcb":
                return lower_confidence_bound(mean, deviation, kappa)
            if acquisition == "ei":
                return expected_improvement(mean, deviation, float(taught.targets.min()))
            return probability_of_improvement(mean, deviation, float(taught.targets.min()))

        num_mutants = self.candidates // 4
        best = taught.points[np.argsort(taught.targets, kind="stable")[:NUM_BEST]]
        anywhere = rng.random((self.candidates - 2 * num_mutants, len(self.space)))
        raw = np.concatenate([anywhere, self._encoding.mutants(rng, best, num_mutants)])
        points = self._encoding.snapped(raw)
        promises = promise(points)
        most = points[np.argsort(-promises, kind="stable")[:NUM_BEST]]
        raw = np.concatenate([raw, self._encoding.mutants(rng, most, num_mutants)])
        points = np.concatenate([points, self._encoding.snapped(raw[-num_mutants:])])
        promises = np.concatenate([promises, promise(points[-num_mutants:])])
        order = np.argsort(-promises, kind="stable")
        known = {point.tobytes() for point in (*taught.points, *flying)}
        new = (i for i in order if points[i].tobytes() not in known)
        return self.space.from_unit(raw[next(new, order[0])])  # where nothing is new, the most promising once more

    def _lies(self, taught: Taught, flying: Floats) -> tuple[Features, Floats] | None:
        if self.liar in ("none", "qlcb") or not len(flying):
            return None
        features = self._encoding.features(flying)
        if self.liar == "predicted":
            return features, taught.forest.predict(features)[0]
        lie = {"min": taught.targets.min(), "mean": taught.targets.mean(), "max": taught.targets.max()}[self.liar]
        return features, np.full(len(flying), lie)

    def _nominator(self, member_id: int) -> tuple[str, float]:
        # Drawn when the member is made and when it is adopted, so by a generator of its own.
        return self._portfolio.nominator(rng_for(self.seed, member_id, NOMINATOR))

    def _reward(self, evaluation: Evaluation) -> float:
        rivals = [known for _, known in self._known[-NUM_RIVALS:] if known.ok]
        if not evaluation.ok or not rivals:
            return 0.0
        score, *others = scores([evaluation, *rivals])
        return float(np.mean(np.array(others) > score))

    @cached_property
    def _design(self) -> Floats:
        return unit_points(self.initial, self.seed, self._num_initial, len(self.space))
