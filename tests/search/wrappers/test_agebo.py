"""The joint search: each half moves its own genes, by its own rule, and hears of everything."""

from __future__ import annotations

import functools

import pytest

from nestedga.errors import SettingError
from nestedga.job.configuration import Configuration
from nestedga.job.plan import make_plan
from nestedga.search.evolution.steady_state import SteadyState
from nestedga.search.model_based.model_based import ModelBased
from nestedga.search.wrappers.agebo import AgEBO
from tests.search.searches import SEARCHES, SMALL, SPACE, evaluate, run

EVOLVED = [path for path in SPACE.paths if path.startswith("model.")]
COPIED = functools.partial(SteadyState, mutation_rate=0.0, crossover="none")  # children are their parents


def build(**settings):
    return SEARCHES["agebo"].build(**settings)


def half(genotype, evolved):
    return {path: value for path, value in genotype.items() if (path in EVOLVED) == evolved}


def test_genes_of_the_evolved_half_are_inherited_and_no_others():
    members = run(build(evolution=COPIED, population_size=5, generations=10))
    by_id = {member.id: member for member in members}
    children = [member for member in members if member.hyper_parents]
    assert len(children) == 45
    for child in children:
        (parent,) = child.hyper_parents
        assert half(child.genotype, evolved=True) == half(by_id[parent].genotype, evolved=True)
        assert half(child.genotype, evolved=False) != half(by_id[parent].genotype, evolved=False)
        assert child.weights_parents == (parent,) and child.generation == by_id[parent].generation + 1


def test_the_learned_half_is_that_of_the_model_alone():
    joint = build()
    model = ModelBased(
        SPACE.subspace([path for path in SPACE.paths if path not in EVOLVED]),
        **{"seed": joint._model.seed, "budget": 1, "population_size": 4, "evaluations": 20, **SMALL},
    )
    for _ in range(20):
        [member], [alone] = joint.ask(1), model.ask(1)
        assert half(member.genotype, evolved=False) == alone.genotype
        joint.tell(evaluate(member))
        model.tell(evaluate(member))


def test_the_halves_are_drawn_independently():
    assert len({build(seed=1).seed, build(seed=1)._model.seed, build(seed=1)._evolution.seed}) == 3


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"evolved": []}, r"search\.evolved=\[\] leaves evolution no gene"),
        ({"evolved": ["data", "model", "optimizer"]}, r"search\.evolved=.* leaves the model no gene"),
        ({"evolved": ["modell"]}, r"search\.evolved=.* names no gene.*; name some of .*model\.width"),
        ({"evolved": ["mod"]}, r"search\.evolved=.* names no gene"),
        ({"evolved": "model"}, r"search\.evolved='model' is no list"),
        ({"evolved": ["model.skip_scale"]}, r"search\.evolved=.* parts model\.skip_scale from model\.skip"),
        ({"evolution": "steady_state"}, r"search\.evolution='steady_state' is no search"),
        ({"model": functools.partial(ModelBased, trees=0)}, r"^search\.model\.trees=0"),
        ({"evolution": functools.partial(SteadyState, tournament=0)}, r"^search\.evolution\.tournament=0"),
    ],
)
def test_bad_settings_are_named(settings, complaint):
    with pytest.raises(SettingError, match=complaint):
        build(**settings)


def test_it_comes_from_the_configuration_with_both_halves_set():
    overrides = ["search=agebo", "search.evolved=[optimizer.lr]", "search.model.kappa=0.5", "search.population_size=7"]
    search = make_plan(Configuration([*overrides, "space=sgd"]), world_size=1).search
    assert isinstance(search, AgEBO)
    assert search._evolution.crossover == "none" and search._evolution.population_size == 7
    assert search._model.kappa == 0.5 and search._model.population_size == 7
    assert search._evolution.space.paths == ("optimizer.lr",)
