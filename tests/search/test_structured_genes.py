"""Lists as values of genes, on a scale (an ordinal's choices) and without one, in every search."""

from __future__ import annotations

import copy
import functools
import json

import msgspec
import numpy as np
import pytest

from nestedga.errors import SettingError
from nestedga.population.genes import OrdinalGene, on_scale
from nestedga.population.member import Evaluation, Member
from nestedga.population.space import Space
from nestedga.search.evolution.operators import (
    blend_crossover,
    mutate,
    one_point_crossover,
    polynomial_mutation,
    reset_mutation,
    simulated_binary_crossover,
    uniform_crossover,
)
from nestedga.search.evolution.steady_state import SteadyState
from nestedga.search.model_based.model_based import ModelBased
from nestedga.search.wrappers.agebo import AgEBO
from tests.search.searches import FOUNDER, SEARCHES, SPACE, evaluate, run
from tests.search.structured import LayersGene

BETAS = OrdinalGene("optimizer.betas", ([0.9, 0.999], [0.95, 0.98], [0.8, 0.9]))
LAYERS = LayersGene()
RANDOM = np.random.default_rng


def kind_of(entry):
    return entry.make.func if isinstance(entry.make, functools.partial) else entry.make


def with_gene(space, gene):
    return Space((*space.genes, gene), space.conditions)


def build(entry, gene, **more):
    space = with_gene(entry.space, gene)
    if isinstance(entry.make, functools.partial) and "founder" in entry.make.keywords:
        more["founder"] = {**FOUNDER, gene.path: space[gene.path].sample(RANDOM(0))}
    return space, entry.build(space=space, **more)


over = pytest.mark.parametrize(
    ("entry", "gene"),
    [
        pytest.param(entry, gene, id=f"{name}-{gene.path}")
        for name, entry in SEARCHES.items()
        for gene in (BETAS, LAYERS)
        if not entry.scripted and not (gene is LAYERS and kind_of(entry).needs_unit_space)
    ],
)


@over
def test_genes_stay_in_their_space_and_what_was_said_stays_as_it_was(entry, gene):
    space, search = build(entry, gene)
    members, flying, said = [], [], []
    while not search.done:
        flying += (asked := search.ask(3 - len(flying)))
        members += asked
        said += copy.deepcopy(asked)
        search.tell(evaluate(flying.pop(0)))
    assert all(space.contains(member.genotype) for member in members)
    assert said == members
    if gene is LAYERS:
        assert len({json.dumps(member.genotype[gene.path]) for member in members}) > 1


@over
def test_a_journal_brings_back_any_history(entry, gene):
    journal, flying = [], []
    _, first = build(entry, gene)
    for _ in range(10):
        asked = first.ask(2 - len(flying))
        journal += (msgspec.json.encode(member) for member in asked)
        flying += asked
        journal.append(evaluate(flying.pop(0)))
        first.tell(journal[-1])
    _, second = build(entry, gene)
    for said in journal:
        second.tell(said) if isinstance(said, Evaluation) else second.adopt(msgspec.json.decode(said, type=Member))
    assert second.ask(3) == first.ask(3)


@pytest.mark.parametrize(
    "entry",
    [pytest.param(entry, id=name) for name, entry in SEARCHES.items() if kind_of(entry).needs_unit_space],
)
def test_a_search_in_unit_space_refuses_other_genes(entry):
    with pytest.raises(SettingError, match="space.model.layers has no scale; leave it out, or use genetic") as caught:
        build(entry, LAYERS)
    assert kind_of(entry).__name__ in str(caught.value) and "\n" not in str(caught.value)


def test_the_learned_half_of_a_joint_search_refuses_other_genes():
    halves = {"evolution": SteadyState, "model": ModelBased, "seed": 0, "budget": 1}
    with pytest.raises(SettingError, match="ModelBased sees every gene as a number, and space.model.layers has no"):
        AgEBO(with_gene(SPACE, LAYERS), evolved=["optimizer"], **halves)


def test_such_a_gene_has_no_axis_in_unit_space():
    space = with_gene(SPACE, LAYERS)
    assert space.unit_genes == SPACE.genes and not on_scale(LAYERS)
    genotype = space.from_unit(np.full(len(SPACE), 0.9), RANDOM(0))
    assert space.contains(genotype)
    np.testing.assert_allclose(
        space.to_unit(genotype), SPACE.to_unit({path: genotype[path] for path in genotype if path in SPACE.paths})
    )


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    "cross",
    [
        functools.partial(uniform_crossover, rate=0.5),
        functools.partial(one_point_crossover, rate=0.9),
        functools.partial(blend_crossover, rate=0.9, alpha=0.5),
        functools.partial(simulated_binary_crossover, rate=0.9, eta=20.0),
    ],
)
def test_crossovers_leave_it_to_the_gene(cross, seed):
    space, rng = with_gene(SPACE, LAYERS), RANDOM(seed)
    a, b = space.sample(rng), space.sample(rng)
    before = copy.deepcopy((a, b))
    assert space.contains(cross(rng, space, a, b)) and (a, b) == before


def test_a_child_may_have_parts_of_both_parents():
    space, rng = Space((LAYERS,)), RANDOM(0)
    children = [uniform_crossover(rng, space, {LAYERS.path: [1] * 4}, {LAYERS.path: [9] * 4}, 1.0) for _ in range(20)]
    assert any({1, 9} == set(child[LAYERS.path]) for child in children)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    "change",
    [
        functools.partial(mutate, rate=0.9),
        functools.partial(polynomial_mutation, rate=0.9, eta=20.0),
        functools.partial(reset_mutation, rate=0.9),
    ],
)
def test_mutations_leave_it_to_the_gene(change, seed):
    space, rng = with_gene(SPACE, LAYERS), RANDOM(seed)
    genotype = space.sample(rng)
    before = copy.deepcopy(genotype)
    assert space.contains(change(rng, space, genotype)) and genotype == before


@pytest.mark.parametrize("name", ["genetic", "steady_state", "pbt", "pbt_async"])
def test_evolution_finds_layers_sooner_than_random_draws(name):
    def distance(member, fails=()):
        layers, wanted = member.genotype[LAYERS.path], [2, 4, 6, 8]
        missing = len(wanted) - len(layers)
        return Evaluation(member.id, 9.0 * missing + sum(abs(a - b) for a, b in zip(layers, wanted, strict=False)))

    def best(name, seed):
        entry = SEARCHES[name]
        search = entry.build(space=Space((LAYERS,)), seed=seed, population_size=16, generations=15)
        return min(distance(member).fom for member in run(search, evaluate=distance))

    ours, theirs = ([best(kind, seed) for seed in range(9)] for kind in (name, "random"))
    assert np.median(ours) < np.median(theirs)
