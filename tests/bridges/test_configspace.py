"""ConfigSpace in and out: round trips both ways, and samples of one are legal in the other."""

from __future__ import annotations

import json
import subprocess
import sys

import ConfigSpace
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nestedga.bridges.configspace import from_configspace, section_of, to_configspace
from nestedga.errors import SettingError
from nestedga.population.genes import CategoricalGene, ConstantGene, FloatGene, IntGene, OrdinalGene
from nestedga.population.space import Space
from tests.conftest import environment
from tests.population.test_space import CHAIN
from tests.search.searches import SPACE
from tests.search.structured import LayersGene

SPACES = {
    "laws": SPACE,
    "chain": Space.from_config(CHAIN),
    "factors": Space(
        (FloatGene("a.x", -3.0, 2.0, factors=(0.5, 2.0)), IntGene("a.n", 1, 999, log=True, factors=(0.1, 3.0)))
    ),
    "constants": Space(
        (ConstantGene("a", True), ConstantGene("b", "x"), ConstantGene("c", 2), FloatGene("d", 0.0, 1.0))
    ),
    "structured_choices": Space(
        (
            CategoricalGene("a", ([0.9, 0.999], [0.95, 0.98])),
            OrdinalGene("b", ({"c": 1}, {"c": [None, True]}, "none")),
            ConstantGene("k", {"type": [1]}),
            FloatGene("x", 0.0, 1.0),
            FloatGene("y", 0.0, 1.0),
        ),
        {"x": (("a", ([0.9, 0.999],)),), "y": (("a", ([0.95, 0.98],)), ("b", ({"c": 1}, "none")))},
    ),
    "mixed_choices": Space(
        (CategoricalGene("a", ("x", 2, 0.5)), OrdinalGene("b", (0.1, 0.2)), OrdinalGene("c", ("s", "l")))
    ),
}
every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)


def plain(configuration):
    return {path: value.item() if isinstance(value, np.generic) else value for path, value in configuration.items()}


@every_space
def test_there_and_back_is_the_same_space(space):
    assert from_configspace(to_configspace(space)) == space


@every_space
def test_back_and_there_is_the_same_space(space):
    there = to_configspace(space)
    assert to_configspace(from_configspace(there)) == there


@every_space
def test_a_section_and_back_is_the_same_space(space):
    assert Space.from_config(yaml.safe_load(yaml.safe_dump(section_of(space)))) == space


@every_space
@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_samples_of_one_are_legal_in_the_other(space, seed):
    there = to_configspace(space)
    there.seed(seed)
    assert space.contains(plain(there.sample_configuration()))
    genotype = space.sample(np.random.default_rng(seed))
    ConfigSpace.Configuration(there, values=genotype).check_valid_configuration()


@every_space
def test_both_sample_alike(space):
    there, rng = to_configspace(space), np.random.default_rng(0)
    there.seed(0)
    ours = [space.to_unit(space.sample(rng)) for _ in range(800)]
    theirs = [space.to_unit(plain(configuration)) for configuration in there.sample_configuration(800)]
    assert np.isnan(ours).mean(axis=0) == pytest.approx(np.isnan(theirs).mean(axis=0), abs=0.1)
    assert np.nanmean(ours, axis=0) == pytest.approx(np.nanmean(theirs, axis=0), abs=0.07, nan_ok=True)


def theirs(*conditions, forbid=(), **parameters):
    space = ConfigSpace.ConfigurationSpace(
        space={"a": ["x", "y", "z"], "n": (1, 9), "o": ConfigSpace.OrdinalHyperparameter("o", [1, 2, 3]), **parameters}
    )
    space.add([make(space) for make in conditions])
    space.add([make(space) for make in forbid])
    return space


def test_conditions_of_one_gene_are_taken_together():
    both = ConfigSpace.AndConjunction
    equals, within = ConfigSpace.EqualsCondition, ConfigSpace.InCondition
    space = from_configspace(
        theirs(
            lambda s: both(
                equals(s["n"], s["a"], "x"), both(within(s["n"], s["o"], [1, 2]), within(s["n"], s["o"], [2, 3]))
            )
        )
    )
    assert space.conditions == {"n": (("a", ("x",)), ("o", (2,)))}


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (lambda: theirs(lambda s: ConfigSpace.NotEqualsCondition(s["n"], s["a"], "x")), "n: NotEqualsCondition"),
        (lambda: theirs(lambda s: ConfigSpace.GreaterThanCondition(s["a"], s["n"], 3)), "a: GreaterThanCondition"),
        (
            lambda: theirs(
                lambda s: ConfigSpace.OrConjunction(
                    ConfigSpace.EqualsCondition(s["n"], s["a"], "x"), ConfigSpace.EqualsCondition(s["n"], s["o"], 1)
                )
            ),
            "n: OrConjunction",
        ),
        (lambda: theirs(forbid=[lambda s: ConfigSpace.ForbiddenEqualsClause(s["n"], 3)]), "Forbidden: n == 3"),
        (
            lambda: theirs(g=ConfigSpace.Float("g", (0.0, 1.0), distribution=ConfigSpace.Normal(0.5, 1))),
            "g: NormalFloat",
        ),
        (lambda: theirs(g=ConfigSpace.Integer("g", (1, 9), distribution=ConfigSpace.Beta(1, 2))), "g: BetaInteger"),
        (lambda: theirs(g=ConfigSpace.Categorical("g", ["x", "y"], weights=[1, 2])), "g: weights"),
        (lambda: theirs(g=ConfigSpace.Categorical("g", [(1, 2), (3, 4)])), r"g: the value \(1, 2\) is no number"),
        (
            lambda: theirs(lambda s: ConfigSpace.EqualsCondition(s["a"], s["f"], 0.5), f=(0.0, 1.0)),
            "the gene f is a real number",
        ),
    ],
)
def test_what_only_configspace_can_say_is_named(space, message):
    with pytest.raises(SettingError, match=message) as caught:
        from_configspace(space())
    assert "\n" not in str(caught.value)


def test_equal_weights_are_no_weights():
    assert from_configspace(theirs(g=ConfigSpace.Categorical("g", ["x", "y"], weights=[1, 1])))["g"].choices == (
        "x",
        "y",
    )


def test_what_only_we_can_say_is_named():
    with pytest.raises(SettingError, match="ConfigSpace refuses this space: .*1") as caught:
        to_configspace(Space((CategoricalGene("a", (1, True)),)))
    assert "\n" not in str(caught.value)
    with pytest.raises(SettingError, match="space.model.layers: ConfigSpace knows no LayersGene; leave it out"):
        to_configspace(Space((LayersGene(),)))


def test_names_that_are_no_paths_are_named():
    with pytest.raises(SettingError, match="these names cannot all be paths of a configuration: a, a.type"):
        section_of(Space((CategoricalGene("a", ("x", "y")), FloatGene("a.type", 0.0, 1.0))))


def program(*arguments):
    command = [sys.executable, "-m", "nestedga.bridges.configspace", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment())  # noqa: PLW1510


def test_the_program_prints_the_one_and_the_other(tmp_path):
    space, there = SPACES["chain"], tmp_path / "theirs.json"
    to_configspace(space).to_json(there)
    (tmp_path / "ours.yaml").write_text(program(there).stdout)
    assert Space.from_config(yaml.safe_load((tmp_path / "ours.yaml").read_text())) == space
    assert json.loads(program("--export", tmp_path / "ours.yaml").stdout) == json.loads(there.read_text())
    for wrong in (tmp_path / "nothing.json", tmp_path / "ours.yaml"):
        answer = program(wrong)
        assert answer.returncode == 2 and answer.stderr.count("\n") == 1 and str(wrong) in answer.stderr
