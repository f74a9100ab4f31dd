"""Our searches in an Optuna study: what the search asks is what the objective gets, and what it gives is told."""

from __future__ import annotations

import functools
import math
import threading
import time

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from nestedga.bridges.optuna_sampler import NestedgaSampler
from nestedga.errors import SettingError
from nestedga.population.genes import CategoricalGene, ConstantGene, FloatGene, IntGene, OrdinalGene
from nestedga.population.member import Member
from nestedga.population.space import Space
from nestedga.search.evolution.genetic import Genetic
from nestedga.search.evolution.steady_state import SteadyState
from tests.search.searches import SPACE, bowl, run
from tests.search.structured import LayersGene

optuna.logging.set_verbosity(optuna.logging.WARNING)
GENETIC = functools.partial(Genetic, seed=0, budget=1, population_size=10, generations=6, inherit="none")
STEADY = functools.partial(SteadyState, seed=0, budget=1, population_size=6, evaluations=60, inherit="none")


def suggested(trial):
    """The laws' space, as an objective would write it."""
    genotype = {
        "optimizer.lr": trial.suggest_float("optimizer.lr", 1e-4, 1.0, log=True),
        "optimizer.momentum": trial.suggest_float("optimizer.momentum", 0.0, 0.99),
        "model.width": trial.suggest_int("model.width", 1, 64),
        "data.batch_size": trial.suggest_categorical("data.batch_size", (16, 32, 64)),
        "model.skip": trial.suggest_categorical("model.skip", (False, True)),
    }
    if genotype["model.skip"]:
        genotype["model.skip_scale"] = trial.suggest_float("model.skip_scale", 0.0, 1.0)
    return genotype


def objective(trial):
    return bowl(Member(0, 0, 0, suggested(trial), (), (), 1))


class Watched:
    """A search that remembers what it was asked and told."""

    def __init__(self, search):
        self.search, self.asked, self.told = search, [], []
        self.busy = threading.Lock()

    def __getattr__(self, name):
        return getattr(self.search, name)

    def ask(self, n):
        assert self.busy.acquire(blocking=False), "two threads in the search"
        time.sleep(0.001)
        members = self.search.ask(n)
        self.asked += members
        self.busy.release()
        return members

    def tell(self, evaluation):
        assert self.busy.acquire(blocking=False), "two threads in the search"
        self.told.append(evaluation)
        self.search.tell(evaluation)
        self.busy.release()


def watched(make, space):
    sampler = NestedgaSampler(lambda there: Watched(make(there)), space)
    return sampler, sampler._search


@pytest.mark.parametrize("make", [GENETIC, STEADY], ids=["genetic", "steady"])
def test_a_study_goes_as_the_search_alone_would(make):
    sampler, search = watched(make, SPACE)
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=60)
    assert [trial.params for trial in study.trials] == [member.genotype for member in search.asked]
    assert search.asked == run(make(SPACE))
    assert search.done


@pytest.mark.parametrize("make", [GENETIC, STEADY], ids=["genetic", "steady"])
def test_several_jobs_at_once(make):
    sampler, search = watched(make, SPACE)
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=55, n_jobs=4)
    tried = [trial.params for trial in study.trials]
    assert all(member.genotype in tried for member in search.asked)
    assert len(search.told) == len(search.asked)
    assert all(SPACE.contains(trial.params) for trial in study.trials)
    assert make is GENETIC or len(search.asked) == 55  # without generations nobody waits


def test_maximising_and_several_objectives():
    sampler, search = watched(GENETIC, SPACE)
    study = optuna.create_study(sampler=sampler, directions=["maximize", "minimize"])
    study.optimize(lambda trial: (-objective(trial), suggested(trial)["model.width"]), n_trials=20)
    for member, evaluation in zip(search.asked, search.told, strict=True):
        assert evaluation.values == (pytest.approx(bowl(member)), member.genotype["model.width"])


def test_trials_that_fail_or_are_pruned_are_members_that_failed():
    def sometimes(trial):
        value = objective(trial)
        if trial.number % 4 == 0:
            raise RuntimeError("no")
        if trial.number % 4 == 1:
            trial.report(value, 1)
            raise optuna.TrialPruned
        return math.nan if trial.number % 4 == 2 else value

    sampler, search = watched(GENETIC, SPACE)
    study = optuna.create_study(sampler=sampler)
    study.optimize(sometimes, n_trials=40, catch=RuntimeError)
    assert [evaluation.ok for evaluation in search.told] == [i % 4 == 3 for i in range(40)]


def test_trials_with_fixed_parameters_are_none_of_the_searchs():
    sampler, search = watched(GENETIC, SPACE)
    study = optuna.create_study(sampler=sampler)
    study.enqueue_trial({"optimizer.lr": 0.5, "model.skip": True})
    study.optimize(objective, n_trials=3)
    assert study.trials[0].params["optimizer.lr"] == 0.5 and SPACE.contains(study.trials[0].params)
    assert [trial.params for trial in study.trials[1:]] == [member.genotype for member in search.asked]
    assert len(search.told) == 2


def test_trials_while_a_generation_is_out_are_random_points_nobody_hears_of():
    sampler, search = watched(GENETIC, SPACE)
    study = optuna.create_study(sampler=sampler)
    trials = [study.ask() for _ in range(13)]
    assert all(SPACE.contains(suggested(trial)) for trial in trials)
    assert len(search.asked) == 10
    for trial in trials:
        study.tell(trial, 1.0)
    assert len(search.told) == 10 and suggested(study.ask()) == search.asked[-1].genotype


DISTRIBUTIONS = {
    "lr": (FloatDistribution(1e-4, 1.0, log=True), FloatGene("lr", 1e-4, 1.0, log=True)),
    "x": (FloatDistribution(0, 2), FloatGene("x", 0.0, 2.0)),
    "steps": (FloatDistribution(0, 0.9, step=0.3), OrdinalGene("steps", (0.0, 0.3, 0.6, 0.9))),
    "n": (IntDistribution(1, 9), IntGene("n", 1, 9)),
    "n_log": (IntDistribution(1, 99, log=True), IntGene("n_log", 1, 99, log=True)),
    "tens": (IntDistribution(10, 40, step=10), OrdinalGene("tens", (10, 20, 30, 40))),
    "c": (CategoricalDistribution(("a", 1, 0.5, True)), CategoricalGene("c", ("a", 1, 0.5, True))),
    "one": (IntDistribution(3, 3), ConstantGene("one", 3)),
    "only": (CategoricalDistribution(("a",)), CategoricalGene("only", ("a",))),
}


def test_the_space_is_made_of_distributions():
    distributions = {name: distribution for name, (distribution, _) in DISTRIBUTIONS.items() if name != "c"}
    sampler, search = watched(GENETIC, distributions)
    assert search.space.paths == tuple(sorted(distributions))

    def objective(trial):
        values = [
            trial.suggest_float("lr", 1e-4, 1.0, log=True),
            trial.suggest_float("x", 0, 2),
            trial.suggest_float("steps", 0, 0.9, step=0.3),
            trial.suggest_int("n", 1, 9),
            trial.suggest_int("n_log", 1, 99, log=True),
            trial.suggest_int("tens", 10, 40, step=10),
            trial.suggest_int("one", 3, 3),
        ]
        return sum(values) + (trial.suggest_categorical("only", ["a"]) == "b")

    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=60)
    assert [trial.params for trial in study.trials] == [member.genotype for member in search.asked]


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_each_distribution_is_a_gene(name):
    distribution, gene = DISTRIBUTIONS[name]
    search = watched(GENETIC, {name: distribution, "free": FloatDistribution(0, 1)})[1]
    ours = search.space[name]
    assert type(ours) is type(gene)
    if isinstance(ours, OrdinalGene):
        assert ours.choices == pytest.approx(gene.choices)
        assert all(distribution._contains(distribution.to_internal_repr(choice)) for choice in ours.choices)
    else:
        assert ours == gene


def test_what_does_not_fit_is_named():
    study = optuna.create_study(sampler=NestedgaSampler(GENETIC, {"x": FloatDistribution(0, 1)}))
    with pytest.raises(SettingError, match="suggests 'y' from .*; the sampler's space has it nowhere"):
        study.ask().suggest_float("y", 0, 1)
    with pytest.raises(SettingError, match="suggests 'x' from .* has it as FloatDistribution"):
        study.ask().suggest_float("x", -2, -1)
    with pytest.raises(SettingError, match="choices of 'c' must be numbers"):
        NestedgaSampler(GENETIC, {"c": CategoricalDistribution((None, "a"))})
    with pytest.raises(SettingError, match=r"choices of 'c' must be numbers, strings or booleans, not \[0.9, 0.99\]"):
        NestedgaSampler(GENETIC, Space((OrdinalGene("c", ([0.9, 0.99], [0.8, 0.9])),)))
    with pytest.raises(SettingError, match="Optuna knows no parameter like 'model.layers', a LayersGene; leave it out"):
        NestedgaSampler(GENETIC, Space((LayersGene(),)))
    with pytest.raises(SettingError, match="no gene that can vary"):
        NestedgaSampler(GENETIC, {"c": FloatDistribution(1, 1)})


def test_a_search_that_is_done_says_so():
    study = optuna.create_study(sampler=NestedgaSampler(GENETIC, SPACE))
    with pytest.raises(SettingError, match="has made its 60 evaluations; .* fewer n_trials"):
        study.optimize(objective, n_trials=61)


def test_several_objectives_need_a_search_that_weighs_them():
    from nestedga.search.evolution.cma_es import CmaEs

    make = functools.partial(CmaEs, seed=0, budget=1)
    study = optuna.create_study(
        sampler=NestedgaSampler(make, {"x": FloatDistribution(0, 1)}), directions=["minimize"] * 2
    )
    with pytest.raises(SettingError, match="CmaEs weighs one objective; the study has several"):
        study.ask().suggest_float("x", 0, 1)
