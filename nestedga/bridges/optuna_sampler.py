"""Our searches as samplers of Optuna.

    space = Space.from_config({"lr": {"type": "float", "low": 1e-5, "high": 1.0, "scale": "log"}})
    make = functools.partial(Genetic, seed=0, budget=1, population_size=10, generations=10, inherit="none")
    study = optuna.create_study(sampler=NestedgaSampler(make, space))
    study.optimize(objective, n_trials=100)  # objective: trial.suggest_float("lr", 1e-5, 1.0, log=True) ...

A trial is a member: its parameters are the active genes, by name. The search sees what happens in this process; trials
that a storage brings along are not known to it. Weights are not handed on: Optuna has no place for them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nestedga.errors import SettingError
from nestedga.population.genes import CategoricalGene, ConstantGene, FloatGene, Gene, IntGene, OrdinalGene
from nestedga.population.member import Evaluation, Status
from nestedga.population.space import Space
from nestedga.search.base import Search

try:
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )
    from optuna.samplers import BaseSampler
    from optuna.study import Study, StudyDirection
    from optuna.trial import FrozenTrial, TrialState
except ImportError as error:
    raise SettingError(
        "nestedga.bridges.optuna_sampler needs a package that is not installed: pip install optuna"
    ) from error


class NestedgaSampler(BaseSampler):
    """Drives a search in an Optuna study; safe with ``n_jobs`` above 1.

    Each trial asks for one member. Where the search waits for others to come in, as generational ones do at the end of
    a generation, a trial gets a random point of which the search never hears: nothing blocks, but with several jobs a
    search without generations wastes nothing. The same holds for trials with fixed parameters (``enqueue_trial``).
    A trial that failed or was pruned is a member that failed: what a pruned one reported was measured earlier than the
    others' values, and compares with none of them.

    Args:
        make: makes the search from a space: ``functools.partial`` of its class with its settings.
        space: the genes, by parameter name, or the parameters' distributions. An ordinal is suggested as categorical.

    Raises:
        SettingError: a distribution cannot be a gene, or the search refuses the space.
    """

    def __init__(self, make: Callable[[Space], Search], space: Space | Mapping[str, BaseDistribution]) -> None:
        if not isinstance(space, Space):
            self._distributions = dict(space)
            space = Space(tuple(_gene(name, distribution) for name, distribution in space.items()))
        else:
            self._distributions = {gene.path: _distribution(gene) for gene in space}
        self._space = space
        self._search = make(space)
        self._lock = threading.Lock()
        self._running: dict[int, int] = {}  # member ids by number of the trial

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All parameters that can vary."""
        return {name: there for name, there in self._distributions.items() if not there.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The genes of a new member.

        Raises:
            SettingError: the search has made all its evaluations, or cannot weigh the study's objectives.
        """
        if len(study.directions) > 1 and not self._search.multi_objective:
            raise SettingError(f"{type(self._search).__name__} weighs one objective; the study has several")
        if "fixed_params" in trial.system_attrs:
            return {}
        with self._lock:
            members = self._search.ask(1)
            if members:
                self._running[trial.number] = members[0].id
        if not members and self._search.done:
            raise SettingError(
                f"the search has made its {self._search.num_evaluations} evaluations; let it make more, or call "
                "study.optimize with fewer n_trials"
            )
        genotype = members[0].genotype if members else self._space.sample(np.random.default_rng(trial.number))
        return {name: genotype[name] for name in search_space if name in genotype}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """What the search has no value for: in a trial with fixed parameters, the others, at random.

        Raises:
            SettingError: in any other trial: the objective suggests what the space does not say.
        """
        if "fixed_params" in trial.system_attrs:
            gene = _gene(param_name, param_distribution)
            return gene.sample(np.random.default_rng([trial.number, len(trial.params)]))
        said = f"as {self._distributions[param_name]}" if param_name in self._distributions else "nowhere"
        raise SettingError(
            f"the objective suggests {param_name!r} from {param_distribution}; the sampler's space has it {said}, or "
            "not active beside the other values; make the two agree"
        )

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Tells the search."""
        with self._lock:
            if trial.number not in self._running:
                return
            member_id = self._running.pop(trial.number)
            if state is not TrialState.COMPLETE or values is None:
                self._search.tell(Evaluation(member_id, float("nan"), Status.FAILED))
                return
            signs = [-1.0 if direction is StudyDirection.MAXIMIZE else 1.0 for direction in study.directions]
            foms = tuple(sign * value for sign, value in zip(signs, values, strict=True))
            self._search.tell(Evaluation(member_id, foms[0], objectives=foms if len(foms) > 1 else ()))


def _distribution(gene: Gene) -> BaseDistribution:
    match gene:
        case FloatGene(_, low, high, log):
            return FloatDistribution(low, high, log=log)
        case IntGene(_, low, high, log):
            return IntDistribution(low, high, log=log)
        case CategoricalGene(name, choices) | OrdinalGene(name, choices):
            return CategoricalDistribution([_value(name, choice) for choice in choices])
        case ConstantGene(name, value):
            return CategoricalDistribution([_value(name, value)])
    raise SettingError(f"Optuna knows no parameter like {gene.path!r}, a {type(gene).__name__}; leave it out")


def _gene(name: str, distribution: BaseDistribution) -> Gene:
    """The gene of a parameter; steps make an ordinal."""
    match distribution:
        case FloatDistribution(low=low, high=high) | IntDistribution(low=low, high=high) if low == high:
            return ConstantGene(name, low)
        case FloatDistribution(step=None):
            return FloatGene(name, distribution.low, distribution.high, distribution.log)
        case FloatDistribution(step=float(step)):
            num_steps = round((distribution.high - distribution.low) / step)
            return OrdinalGene(name, tuple(distribution.low + i * step for i in range(num_steps + 1)))
        case IntDistribution(step=1):
            return IntGene(name, distribution.low, distribution.high, distribution.log)
        case IntDistribution():
            return OrdinalGene(name, tuple(range(distribution.low, distribution.high + 1, distribution.step)))
        case CategoricalDistribution(choices=choices):
            return CategoricalGene(name, tuple(_value(name, choice) for choice in choices))
    raise SettingError(f"the distribution of {name!r} is unknown: {distribution}; use float, int or categorical")


def _value(name: str, choice: Any) -> bool | int | float | str:
    if not isinstance(choice, bool | int | float | str):
        raise SettingError(f"the choices of {name!r} must be numbers, strings or booleans, not {choice!r}")
    return choice
