"""Optuna's samplers as searches: what they suggest is theirs, and a function of the history."""

from __future__ import annotations

import functools
import sys

import numpy as np
import optuna
import pytest
from optuna.samplers import CmaEsSampler, NSGAIISampler, RandomSampler, TPESampler

from nestedga.errors import SettingError
from nestedga.job.build import build
from nestedga.population.genes import CategoricalGene, FloatGene
from nestedga.population.member import Evaluation, Member, Status
from nestedga.population.space import Space
from nestedga.search.base import rng_for
from nestedga.search.wrappers.optuna_search import OptunaSearch
from tests.search.searches import ORDERED, SPACE, bowl

SAMPLERS = {
    "random": RandomSampler,
    "tpe": functools.partial(TPESampler, n_startup_trials=5),
    "tpe_group": functools.partial(TPESampler, n_startup_trials=5, multivariate=True, group=True, constant_liar=True),
    "cma_es": functools.partial(CmaEsSampler, n_startup_trials=3, popsize=5, warn_independent_sampling=False),
    "cma_es_margin": functools.partial(
        CmaEsSampler, n_startup_trials=3, popsize=5, with_margin=True, warn_independent_sampling=False
    ),
    "nsgaii": functools.partial(NSGAIISampler, population_size=6),
}
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def make(sampler, **settings):
    return OptunaSearch(
        settings.pop("space", SPACE), sampler=sampler, **{"seed": 3, "budget": 1, "evaluations": 200, **settings}
    )


def drive(search, num_members, *, groups=3, fails=frozenset(), objectives=1):
    rng = np.random.default_rng(0)
    said, flying = [], []
    for _ in range(num_members):
        asked = search.ask(groups - len(flying))
        said += asked
        flying += asked
        member = flying.pop(rng.integers(len(flying)))
        values = (bowl(member), -bowl(member))[:objectives]
        status = Status.FAILED if member.id in fails else Status.OK
        said.append(Evaluation(member.id, values[0], status, objectives=values if objectives > 1 else ()))
        search.tell(said[-1])
    return said


@every_sampler
@pytest.mark.parametrize("space", [SPACE, ORDERED], ids=["conditions", "ordered"])
def test_a_history_is_taken_up_exactly(sampler, space):
    first, second = make(sampler, space=space), make(sampler, space=space)
    for what in drive(first, 45, fails={4, 5, 17}):
        second.adopt(what) if isinstance(what, Member) else second.tell(what)
    assert first.ask(4) == second.ask(4)
    assert all(space.contains(member.genotype) for member in first.ask(3))


def test_it_is_the_sampler_itself():
    """An Optuna study with the same seeds suggests the same."""
    study, search = optuna.create_study(), make(SAMPLERS["tpe"])
    for member_id in range(25):
        study.sampler = SAMPLERS["tpe"](seed=int(rng_for(3, member_id).integers(2**31)))
        trial = study.ask()
        theirs = {
            "data.batch_size": (16, 32, 64)[trial.suggest_int("data.batch_size", 0, 2)],
            "model.skip": (False, True)[trial.suggest_categorical("model.skip", (0, 1))],
            "model.width": trial.suggest_int("model.width", 1, 64),
            "optimizer.lr": trial.suggest_float("optimizer.lr", 1e-4, 1.0, log=True),
            "optimizer.momentum": trial.suggest_float("optimizer.momentum", 0.0, 0.99),
        }
        if theirs["model.skip"]:
            theirs["model.skip_scale"] = trial.suggest_float("model.skip_scale", 0.0, 1.0)
        member = search.ask(1)[0]
        assert member.genotype == theirs
        study.tell(trial, bowl(member))
        search.tell(Evaluation(member.id, bowl(member)))


@pytest.mark.parametrize("name", ["tpe", "cma_es", "cma_es_margin"])
def test_a_sampler_that_learns_beats_random(name):
    def best_of(name, seed):
        said = drive(make(SAMPLERS[name], space=ORDERED, seed=seed), 80, groups=1)
        return min(what.fom for what in said if isinstance(what, Evaluation))

    assert np.median([best_of(name, i) for i in range(3)]) < np.median([best_of("random", i) for i in range(3)])


def test_several_objectives_are_weighed():
    sampler = functools.partial(NSGAIISampler, population_size=6)
    first, second = make(sampler, num_objectives=2), make(sampler, num_objectives=2)
    for what in drive(first, 30, objectives=2):
        second.adopt(what) if isinstance(what, Member) else second.tell(what)
    assert first.ask(4) == second.ask(4)
    assert len(first._study.directions) == 2
    with pytest.raises(SettingError, match=r"search.num_objectives=1 is not the number of the run; use 2"):
        drive(make(sampler), 1, objectives=2)


def test_the_journal_holds_where_the_sampler_would_say_something_else_today():
    search, other = make(RandomSampler), make(RandomSampler)
    other.seed = 4
    member = other.ask(1)[0]
    search.adopt(member)
    search.tell(Evaluation(0, 0.5))
    search.ask(1)
    completed = search._study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    learned = [(trial.params["optimizer.lr"], trial.value) for trial in completed]
    assert learned == [(member.genotype["optimizer.lr"], 0.5)]
    choice = SPACE["data.batch_size"].choices[completed[0].params["data.batch_size"]]
    assert choice == member.genotype["data.batch_size"]


def test_choices_that_python_takes_for_equal_are_kept_apart():
    space = Space((CategoricalGene("c", (1, True, "x")), FloatGene("x", 0.0, 1.0)))
    members = make(RandomSampler, space=space).ask(30)
    assert {repr(member.genotype["c"]) for member in members} == {"1", "True", "'x'"}


def test_it_can_be_written_in_a_configuration():
    section = {
        "_target_": "nestedga.search.wrappers.optuna_search.OptunaSearch",
        "sampler": {"_target_": "optuna.samplers.TPESampler", "_partial_": True, "n_startup_trials": 5},
        "evaluations": 200,
    }
    assert build(section, SPACE, seed=3, budget=1).ask(3) == make(SAMPLERS["tpe"]).ask(3)
    section["sampler"]["n_startup_trial"] = 5
    with pytest.raises(SettingError, match="n_startup_trial"):
        build(section, SPACE, seed=3, budget=1)


@pytest.mark.parametrize(
    ("sampler", "settings", "message"),
    [
        (RandomSampler(), {}, "search.sampler=.* give it _partial_: true"),
        (functools.partial(TPESampler, gama=1), {}, "search.sampler does not work: .*gama"),
        (CmaEsSampler, {"num_objectives": 2}, "search.sampler does not work: .*multi-objective"),
        (RandomSampler, {"num_objectives": 0}, "search.num_objectives=0"),
        (optuna.samplers.PartialFixedSampler, {}, "search.sampler does not work: .*seed"),
    ],
)
def test_what_cannot_work_is_said_at_start(sampler, settings, message):
    with pytest.raises(SettingError, match=message) as caught:
        make(sampler, **settings)
    assert "\n" not in str(caught.value)


def test_without_optuna_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(SettingError, match="pip install optuna"):
        make(RandomSampler)
