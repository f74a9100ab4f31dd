"""Laws of genes, over random ranges; and the messages for ranges that cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestedga.errors import SettingError
from nestedga.genes import FloatGene, IntGene, OrdinalGene, gene_from_config
from nestedga.space import Space

GENES = {
    "linear": {"type": "float", "low": 0.0, "high": 0.99},
    "negative": {"type": "float", "low": -3, "high": 0},
    "log": {"type": "float", "low": 1e-5, "high": 1.0, "scale": "log"},
    "int": {"type": "int", "low": 0, "high": 3},
    "int_log": {"type": "int", "low": 1, "high": 1024, "scale": "log"},
    "categorical": {"type": "categorical", "choices": ["a", "b", "c"]},
    "ordinal": {"type": "ordinal", "choices": [16, 32, 64]},
    "bool": {"type": "bool"},
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
        ({"type": "ordinal", "choices": [1, 1]}, "twice"),
    ],
)
def test_a_gene_that_cannot_be_is_named(spec, message):
    with pytest.raises(SettingError, match=message) as caught:
        Space.from_config({"optimizer": {"lr": spec}})
    assert "space.optimizer.lr" in str(caught.value) and "\n" not in str(caught.value)
