"""Laws of genes, over random ranges; and the messages for ranges that cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestedga.errors import SettingError
from nestedga.population.genes import FloatGene, IntGene, OrdinalGene, gene_from_config
from nestedga.population.space import Space

GENES = {
    "linear": {"type": "float", "low": 0.0, "high": 0.99},
    "negative": {"type": "float", "low": -3, "high": 0},
    "log": {"type": "float", "low": 1e-5, "high": 1.0, "scale": "log"},
    "int": {"type": "int", "low": 0, "high": 3},
    "int_log": {"type": "int", "low": 1, "high": 1024, "scale": "log"},
    "categorical": {"type": "categorical", "choices": ["a", "b", "c"]},
    "ordinal": {"type": "ordinal", "choices": [16, 32, 64]},
    "bool": {"type": "bool"},
    "lists": {"type": "categorical", "choices": [[0.9, 0.999], [0.95, 0.98], [0.9, [1, True]], []]},
    "mappings": {"type": "ordinal", "choices": [{"a": 1}, {"a": 1, "b": None}, {"a": [1.0]}]},
}
every_gene = pytest.mark.parametrize("spec", GENES.values(), ids=GENES)


@every_gene
@given(seed=st.integers(0, 10_000))
def test_operators_stay_inside_and_nothing_is_a_trap(spec, seed):
    gene = gene_from_config("x", spec)
    rng = np.random.default_rng(seed)
    for operator in (gene.perturb, gene.mutate):
        value = gene.sample(rng)
        for _ in range(20):
            assert gene.contains(value)
            assert any(operator(rng, value) != value for _ in range(60)), f"stuck at {value}"
            value = operator(rng, value)


@pytest.mark.parametrize("name", ["linear", "negative", "log", "int", "int_log"])
def test_borders_are_left_again(name):
    gene = gene_from_config("x", GENES[name])
    rng = np.random.default_rng(0)
    for border in (gene.low, gene.high):
        for operator in (gene.perturb, gene.mutate):
            assert any(operator(rng, border) != border for _ in range(50))


def test_constant_never_changes():
    gene = gene_from_config("x", {"type": "constant", "value": 3})
    rng = np.random.default_rng(0)
    assert gene.sample(rng) == gene.perturb(rng, 3) == gene.mutate(rng, 3) == 3


def test_log_gene_samples_decades_evenly():
    gene = FloatGene("x", 1e-4, 1.0, log=True)
    rng = np.random.default_rng(0)
    decades = np.bincount([int(-np.log10(gene.sample(rng))) for _ in range(4000)], minlength=4)
    assert decades.min() > 900


def test_int_gene_samples_all_values_evenly():
    rng = np.random.default_rng(0)
    gene = IntGene("x", 2, 5)
    counts = np.bincount([gene.sample(rng) for _ in range(4000)], minlength=6)[2:]
    assert counts.min() > 900


def test_perturb_multiplies_by_the_factors():
    rng = np.random.default_rng(0)
    seen = {FloatGene("x", 0.0, 1.0, factors=(0.5, 2.0)).perturb(rng, 0.25) for _ in range(20)}
    assert seen == {0.125, 0.5}


def test_ordinal_perturbs_to_a_neighbour():
    rng = np.random.default_rng(0)
    assert {OrdinalGene("x", (1, 2, 3, 4)).perturb(rng, 3) for _ in range(20)} == {2, 4}


def test_space_mirrors_the_configuration_and_does_not_depend_on_the_order_of_the_file():
    spec = {
        "optimizer": {"lr": GENES["log"], "momentum": GENES["linear"]},
        "model": {"skip": GENES["bool"], "width": None},
    }
    space = Space.from_config(spec)
    assert space.paths == ("model.skip", "optimizer.lr", "optimizer.momentum")
    assert Space.from_config(dict(reversed(spec.items()))) == space


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"type": "flaot"}, "known types: float, int"),
        ({"type": "float", "low": 1.0, "high": 0.1}, "low=1.0 is not below high=0.1; swap them"),
        ({"type": "float", "low": 1, "high": 1}, "type: constant"),
        ({"type": "float", "low": 0, "high": 1, "scale": "log"}, "touches zero"),
        ({"type": "float", "low": 0}, r"lacks \['high'\]"),
        ({"type": "float", "low": 0, "high": 1, "steps": 3}, r"no use for \['steps'\]"),
        ({"type": "float", "low": "a", "high": 1}, "not a number"),
        ({"type": "int", "low": 0.5, "high": 2}, "not a whole number"),
        ({"type": "float", "low": 0, "high": 1, "perturb": [1.2, 0.8]}, "one factor below and one above 1"),
        ({"type": "float", "low": 0, "high": 1, "scale": "cubic"}, "known scales"),
        ({"type": "categorical", "choices": []}, "one or more"),
        ({"type": "categorical", "choices": "abc"}, "must be a list of one or more values"),
        ({"type": "categorical", "choices": [1, None]}, "each a number, a string, a boolean, or a list or a mapping"),
        ({"type": "categorical", "choices": [1, [float("inf")]]}, "each a number"),
        ({"type": "categorical", "choices": [{"a b": 1}]}, "its keys words"),
        ({"type": "constant", "value": {"a": float("nan")}}, "value={'a': nan} must be a number"),
        ({"type": "ordinal", "choices": [1, 1]}, "twice"),
        ({"type": "ordinal", "choices": [{"a": 1, "b": 2}, {"b": 2, "a": 1}]}, "twice"),
    ],
)
def test_a_gene_that_cannot_be_is_named(spec, message):
    with pytest.raises(SettingError, match=message) as caught:
        Space.from_config({"optimizer": {"lr": spec}})
    assert "space.optimizer.lr" in str(caught.value) and "\n" not in str(caught.value)


# Conditions

CHAIN = {
    "optimizer": {
        "type": "categorical",
        "choices": ["sgd", "adamw"],
        "momentum": {**GENES["linear"], "when": {"optimizer": "sgd"}},
        "nesterov": {"type": "bool", "when": {"optimizer": ["sgd"]}},
        "dampening": {**GENES["linear"], "when": {"optimizer.nesterov": False}},  # so never with adamw
        "lr": GENES["log"],
    },
    "model": {
        "depth": {"type": "ordinal", "choices": [8, 20, 32]},
        "drop": {**GENES["linear"], "when": {"model": {"depth": [20, 32]}, "optimizer.nesterov": True}},
        "blocks": {"type": "int", "low": 1, "high": 4},
        "width": {**GENES["int_log"], "when": {"model.blocks": [2, 3]}},
    },
}


def active_in(genotype):
    """What CHAIN's conditions say, in plain Python."""
    active = {"optimizer", "optimizer.lr", "model.depth", "model.blocks"}
    if genotype["optimizer"] == "sgd":
        active |= {"optimizer.momentum", "optimizer.nesterov"}
        if not genotype["optimizer.nesterov"]:
            active |= {"optimizer.dampening"}
        elif genotype["model.depth"] in (20, 32):
            active |= {"model.drop"}
    if genotype["model.blocks"] in (2, 3):
        active |= {"model.width"}
    return active


@given(seed=st.integers(0, 10_000))
def test_conditions_hold_whatever_makes_a_genotype(seed):
    space, rng = Space.from_config(CHAIN), np.random.default_rng(seed)
    one, other = space.sample(rng), space.sample(rng)
    mixed = {path: (one if rng.random() < 0.5 else other).get(path) for path in space.paths}
    completed = space.completed(rng, {path: value for path, value in mixed.items() if value is not None})
    at_a_point = space.from_unit(rng.random(len(space)))
    for genotype in (one, other, completed, at_a_point):
        assert set(genotype) == active_in(genotype)
        assert list(genotype) == sorted(genotype)
        assert space.contains(genotype)
        assert space.completed(rng, genotype) == genotype
        unit = space.to_unit(genotype)
        assert [path for path, at in zip(space.paths, unit, strict=True) if not np.isnan(at)] == list(genotype)
        again = space.from_unit(unit)
        floats = {path for path, value in genotype.items() if isinstance(value, float)}
        assert all(again[path] == pytest.approx(genotype[path], rel=1e-9, abs=1e-12) for path in floats)
        assert {path: again[path] for path in again if path not in floats} == {
            path: genotype[path] for path in genotype if path not in floats
        }
    kept = [path for path in completed if mixed[path] is not None]
    assert all(completed[path] == mixed[path] for path in kept)


@given(seed=st.integers(0, 10_000))
def test_a_genotype_that_breaks_a_condition_is_not_contained(seed):
    space, rng = Space.from_config(CHAIN), np.random.default_rng(seed)
    genotype = space.sample(rng)
    path = space.paths[rng.integers(len(space))]
    if path in genotype:
        assert not space.contains({other: value for other, value in genotype.items() if other != path})
    else:
        assert not space.contains({**genotype, path: space[path].sample(rng)})
    assert not space.contains({**genotype, "stranger": 1})


def test_every_active_gene_is_sampled_as_if_alone():
    space, rng = Space.from_config(CHAIN), np.random.default_rng(0)
    genotypes = [space.sample(rng) for _ in range(4000)]
    assert np.mean([genotype["optimizer"] == "sgd" for genotype in genotypes]) == pytest.approx(1 / 2, abs=0.03)
    assert np.mean(["model.drop" in genotype for genotype in genotypes]) == pytest.approx(1 / 2 / 2 * 2 / 3, abs=0.03)
    assert np.mean(["model.width" in genotype for genotype in genotypes]) == pytest.approx(1 / 2, abs=0.03)


def test_the_order_of_the_file_changes_no_draw():
    def reversed_all(node):
        if not isinstance(node, dict):
            return node
        return {key: reversed_all(node[key]) for key in reversed(node)}

    one, other = Space.from_config(CHAIN), Space.from_config(reversed_all(CHAIN))
    assert one == other
    for seed in range(20):
        assert one.sample(np.random.default_rng(seed)) == other.sample(np.random.default_rng(seed))


def test_true_is_not_1_in_a_condition():
    spec = {"a": {"type": "categorical", "choices": [1, True]}, "b": {**GENES["linear"], "when": {"a": True}}}
    space = Space.from_config(spec)
    assert space.is_active("b", {"a": True}) and not space.is_active("b", {"a": 1})


def test_lists_and_mappings_may_decide():
    spec = {
        "a": GENES["lists"],
        "b": {"type": "bool", "when": {"a": [[0.9, 0.999]]}},
        "c": GENES["mappings"],
        "d": {"type": "bool", "when": {"c": [{"a": 1}]}},
        "e": {"type": "constant", "value": {"type": "x"}, "when": {"d": True}},
    }
    space = Space.from_config(spec)
    assert space.is_active("b", {"a": [0.9, 0.999]}) and not space.is_active("b", {"a": [0.95, 0.98]})
    assert space.is_active("d", {"c": {"a": 1}}) and not space.is_active("d", {"c": {"a": 1.0}})
    assert space["e"].sample(np.random.default_rng(0)) == {"type": "x"}


def test_a_constant_may_decide():
    spec = {"a": {"type": "constant", "value": "x"}, "b": {"type": "bool", "when": {"a": "x"}}}
    assert set(Space.from_config(spec).sample(np.random.default_rng(0))) == {"a", "b"}


def test_a_subspace_keeps_its_conditions_or_is_refused():
    space = Space.from_config(CHAIN)
    part = space.subspace(("model.blocks", "model.width"))
    assert part.conditions == {"model.width": (("model.blocks", (2, 3)),)}
    with pytest.raises(SettingError, match=r"model.width.when names 'model.blocks', which is no gene of this space"):
        space.subspace(("model.width", "optimizer.lr"))


def test_genes_and_their_keys_can_be_taken_out():
    space = Space.from_config({"optimizer": {"type": "bool", "lr": None, "x": {**GENES["linear"], "when": None}}})
    assert space.paths == ("optimizer", "optimizer.x") and space.conditions == {}


@pytest.mark.parametrize(
    ("genes", "message"),
    [
        (
            {"x": {"type": "bool", "when": {"y": True}}},
            "space.x.when names 'y', which is no gene of this space; it has x",
        ),
        ({"x": {"type": "bool", "when": {"x": True}}}, "round in a ring: x -> x"),
        (
            {"x": {"type": "bool", "when": {"y": True}}, "y": {"type": "bool", "when": {"x": True}}},
            "round in a ring: (x -> y -> x|y -> x -> y)",
        ),
        ({"x": GENES["int"], "y": {"type": "bool", "when": {"x": 7}}}, "the gene x never has the value 7"),
        ({"x": GENES["bool"], "y": {"type": "bool", "when": {"x": 1}}}, "the gene x never has the value 1"),
        ({"x": GENES["categorical"], "y": {"type": "bool", "when": {"x": ["a", "z"]}}}, "never has the value 'z'"),
        (
            {"x": GENES["lists"], "y": {"type": "bool", "when": {"x": [0.9, 0.999]}}},
            "never has the value 0.9; a list names several values: put it into another",
        ),
        ({"x": GENES["bool"], "y": {"type": "bool", "when": {"x": []}}}, "never holds"),
        ({"x": GENES["linear"], "y": {"type": "bool", "when": {"x": 0.5}}}, "the gene x is a real number"),
        ({"x": GENES["bool"], "y": {"type": "bool", "when": "x"}}, "space.y.when='x' must name another gene"),
        ({"x": GENES["bool"], "y": {"type": "bool", "when": {}}}, r"space.y.when={} must name another gene"),
        ({"a": {"x": GENES["bool"]}, "a.x": GENES["bool"]}, "space.a.x is given twice"),
    ],
)
def test_a_condition_that_cannot_be_is_named(genes, message):
    with pytest.raises(SettingError, match=message) as caught:
        Space.from_config(genes)
    assert "\n" not in str(caught.value)


def test_a_condition_of_a_gene_that_is_not_there_is_named():
    with pytest.raises(SettingError, match="there is no gene y in this space"):
        Space((FloatGene("x", 0.0, 1.0),), {"y": (("x", (0.5,)),)})
