"""Early stopping by rungs, around any other search.

An individual is trained from rung to rung, and each rung is a member that continues the one before. When a rung's
evaluation comes in, it is decided at once whether the individual goes on; nothing is killed in mid-interval. The
wrapped search deals in individuals and is told of each once, at its end.

    ask:   first whoever goes on, in the order of the decisions; then new individuals of the wrapped search
    tell:  failed, at the top rung, or not to go on: tell the wrapped search
           else: the individual waits for its next rung

Successive halving, Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning" (arXiv:1810.05934), in the
stopping variant of Syne Tune and Optuna, which pauses nobody: of n individuals that have reached a rung so far,

    the last one goes on  <=>  fewer than max(1, floor(n / eta)) of them are better

Median rule, Golovin et al. 2017, "Google Vizier: A Service for Black-Box Optimization" (doi:10.1145/3097983.3098043),
section 3.2, with f_r the figure of merit at rung r:

    goes on  <=>  min(f_1 ... f_r) <= median over the others at rung r of mean(f_1 ... f_r)
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from statistics import fmean

import numpy as np

from nestedga.errors import SettingError
from nestedga.population.member import Evaluation, Member
from nestedga.population.space import Space
from nestedga.search.base import Search, check_kinds
from nestedga.search.base.ranking import scores


@dataclass(eq=False, kw_only=True)
class Rungs:
    """The bookkeeping of early stopping; a subclass gives ``_goes_on``.

    Rung r of the wrapped search's member i is member ``i * len(rungs) + r``, so that a journal tells individual and
    rung of each member. A child of the wrapped search begins where its parents were stopped.

    Attributes:
        space: the genes.
        seed: of all draws.
        budget: length of an interval.
        wrapped: makes the wrapped search from space, seed and budget.
        rungs: lengths of an individual's training after each rung, in intervals of the wrapped search.
        population_size: the wrapped search's, where given here; so ``generations`` and ``evaluations``, which count
            individuals.
    """

    space: Space = field(kw_only=False)
    seed: int
    budget: int
    wrapped: Callable[..., Search]
    rungs: Sequence[int]
    population_size: int | None = None
    generations: int | None = None
    evaluations: int | None = None

    def __post_init__(self) -> None:
        check_kinds(self)
        if not callable(self.wrapped):
            raise SettingError(
                f"search.wrapped={self.wrapped!r} is no search; choose one as in search@search.wrapped=genetic"
            )
        rungs: object = self.rungs  # whatever was typed
        lengths = (0, *rungs) if isinstance(rungs, Sequence) else ()
        if len(lengths) < 3 or any(type(b) is not int or b <= a for a, b in pairwise(lengths)):
            raise SettingError(
                f"search.rungs={self.rungs!r} are no rungs; give two or more whole numbers, each larger than the one "
                "before, as in [1,3,9]"
            )
        try:
            given = {name: getattr(self, name) for name in ("population_size", "generations", "evaluations")}
            sizes = {name: size for name, size in given.items() if size is not None}
            self._search = self.wrapped(self.space, seed=self.seed, budget=self.budget, **sizes)
        except SettingError as error:
            raise SettingError(re.sub(r"^search\.", "search.wrapped.", str(error))) from error
        self.population_size = self._search.population_size  # for the views
        if isinstance(self._search, Rungs):
            raise SettingError("search.wrapped stops early itself; wrap a search that does not")
        self._steps = [b - a for a, b in pairwise(lengths)]
        self._running: dict[int, Member] = {}  # rungs that are out, by id
        self._going_on: dict[int, Member] = {}  # rungs whose individuals wait for the next, by id
        self._told: dict[int, list[Evaluation]] = {}  # rungs so far of individuals that have not ended, by wrapped id
        self._last: dict[int, int] = {}  # the last rung told of every individual, by wrapped id

    @property
    def generational(self) -> bool:
        return False  # a rung is waited for by nobody but its own individual

    @property
    def multi_objective(self) -> bool:
        return self._search.multi_objective

    @property
    def num_objectives(self) -> int | None:
        return self._search.num_objectives

    @property
    def slow(self) -> bool:
        return self._search.slow

    @property
    def prefetch(self) -> int:
        return 0  # who goes on is known best at the last moment

    @property
    def takes_immigrants(self) -> bool:
        return False  # the wrapped search knows individuals by other numbers

    @property
    def last_counts(self) -> bool:
        return False

    def immigrate(self, member: Member, evaluation: Evaluation) -> None:
        raise NotImplementedError

    @property
    def done(self) -> bool:
        return self._search.done  # it waits for every individual

    @property
    def num_evaluations(self) -> int | None:
        return None  # hangs on who goes on

    def ask(self, n: int) -> list[Member]:
        members = [self._next_rung(member) for member in islice(self._going_on.values(), n)]
        if len(members) < n:
            members += map(self._first_rung, self._search.ask(n - len(members)))
        for member in members:
            self._begin(member)
        return members

    def adopt(self, member: Member) -> None:
        if self._rung(member.id) > 0 and member.id - 1 not in self._going_on:
            raise ValueError(f"member {member.id} cannot be asked; it does not go on from {member.id - 1}")
        if self._rung(member.id) == 0:
            self._search.adopt(self._individual(member))
        self._begin(member)

    def tell(self, evaluation: Evaluation) -> None:
        member = self._running.pop(evaluation.member_id, None)
        individual, rung = divmod(evaluation.member_id, len(self._steps))
        if member is None:
            was = "told before" if self._last.get(individual, -1) >= evaluation.member_id else "never asked"
            raise ValueError(f"member {evaluation.member_id} was {was}")
        self._last[individual] = member.id
        told = self._told.setdefault(individual, [])
        told.append(evaluation)
        if evaluation.ok and rung + 1 < len(self._steps) and self._goes_on(rung, told):
            self._going_on[member.id] = member
        else:
            del self._told[individual]
            self._search.tell(replace(evaluation, member_id=individual))

    def needed(self) -> set[int]:
        return {self._last[individual] for individual in self._search.needed()} | self._going_on.keys()

    def _begin(self, member: Member) -> None:
        self._going_on.pop(member.id - 1, None)
        self._running[member.id] = member

    def _rung(self, member_id: int) -> int:
        return member_id % len(self._steps)

    def _first_rung(self, individual: Member) -> Member:
        return replace(
            individual,
            id=individual.id * len(self._steps),
            hyper_parents=tuple(self._last[parent] for parent in individual.hyper_parents),
            weights_parents=tuple(self._last[parent] for parent in individual.weights_parents),
            budget=individual.budget * self._steps[0],
        )

    def _individual(self, first: Member) -> Member:
        """The wrapped search's member whose first rung this is."""
        return replace(
            first,
            id=first.id // len(self._steps),
            hyper_parents=tuple(parent // len(self._steps) for parent in first.hyper_parents),
            weights_parents=tuple(parent // len(self._steps) for parent in first.weights_parents),
            budget=first.budget // self._steps[0],
        )

    def _next_rung(self, member: Member) -> Member:
        rung = self._rung(member.id)
        return replace(
            member,
            id=member.id + 1,
            hyper_parents=(member.id,),
            weights_parents=(member.id,),
            inheritance="clone",
            budget=member.budget // self._steps[rung] * self._steps[rung + 1],
        )

    def _goes_on(self, rung: int, told: Sequence[Evaluation]) -> bool:
        """Decides about an individual, and remembers it for those who come after.

        Args:
            rung: which it has reached, counted from 0; never the top one.
            told: its evaluations, one for each rung up to this; all OK.
        """
        raise NotImplementedError


@dataclass(eq=False, kw_only=True)
class SuccessiveHalving(Rungs):
    """Asynchronous successive halving, stopping variant.

    Attributes:
        rungs: the published ones grow by the factor ``reduction``.
        reduction: eta: about one in so many goes on, above 1. Default 3: Syne Tune's; Optuna and Ray Tune take 4.
    """

    rungs: Sequence[int] = (1, 3, 9)
    reduction: float = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.reduction > 1:
            raise SettingError(f"search.reduction={self.reduction!r} would stop nobody; use a number above 1")
        self._foms: list[list[float]] = [[] for _ in self._steps]  # by rung; sorted
        self._reached: list[list[Evaluation]] = [[] for _ in self._steps]  # by rung, where there are several objectives

    def _goes_on(self, rung: int, told: Sequence[Evaluation]) -> bool:
        fom, objectives = told[-1].fom, told[-1].objectives
        if objectives:
            reached = self._reached[rung]
            reached.append(Evaluation(told[-1].member_id, fom, objectives=objectives))  # without metrics
            order = scores(reached)
            num_reached, num_better = len(order), int(np.sum(order < order[-1]))
        else:
            foms = self._foms[rung]
            num_better = bisect_left(foms, fom)
            foms.insert(num_better, fom)
            num_reached = len(foms)
        return num_better < max(1, num_reached // self.reduction)


@dataclass(eq=False, kw_only=True)
class MedianStopping(Rungs):
    """The median rule.

    The paper compares with completed trainings alone; here, as in Ray Tune, with everybody who has reached the rung,
    so that it has somebody to compare with early.

    Attributes:
        rungs: whatever is before the first is a grace period, in which nobody is stopped.
        startup: a rung that fewer others have reached stops nobody, 1 or more. Default 3: ``min_samples_required`` of
            Ray Tune's implementation.
    """

    rungs: Sequence[int] = (2, 3, 4, 5, 6, 7, 8, 9)
    startup: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.startup < 1:
            raise SettingError(f"search.startup={self.startup!r} leaves no others to compare with; use 1 or more")
        self._averages: list[list[float]] = [[] for _ in self._steps]  # by rung; sorted

    @property
    def multi_objective(self) -> bool:
        return False  # an average of places among others means nothing

    def _goes_on(self, rung: int, told: Sequence[Evaluation]) -> bool:
        foms = [evaluation.fom for evaluation in told]
        others = self._averages[rung]
        goes_on = len(others) < self.startup or min(foms) <= _median(others)
        insort(others, fmean(foms))
        return goes_on


def _median(ordered: Sequence[float]) -> float:
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
