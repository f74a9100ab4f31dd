"""The genetic algorithm against its formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import chisquare

from nestedga.errors import SettingError
from nestedga.population.genes import FloatGene, IntGene
from nestedga.population.member import Evaluation, Status
from nestedga.population.space import Space
from nestedga.search.evolution.demes import Demes
from nestedga.search.evolution.genetic import Genetic
from nestedga.search.sampling.design import unit_points
from tests.search.searches import FOUNDER, SEARCHES, SPACE, generation, run

GENETIC = SEARCHES["genetic"]
LIKELY = 0.001  # a test whose figure is unlikelier than this is red; the seeds are fixed


# Selection


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"sigma": 2.0}, [math.exp(-2.0 * (fom / 2.0) ** 2) for fom in (0.0, 0.5, 1.0, 2.0)]),
        ({"selection": "tournament", "tournament": 3}, [37, 19, 7, 1]),  # (4 - i) ** 3 - (3 - i) ** 3
        ({"selection": "rank", "rank_pressure": 1.6}, [1.6, 1.2, 0.8, 0.4]),
        ({"selection": "truncation", "truncation": 0.75}, [1, 1, 1, 0]),
    ],
    ids=["roulette", "tournament", "rank", "truncation"],
)
def test_parents_are_drawn_as_often_as_the_formula_says(settings, expected):
    genes, weights = np.zeros(4), np.zeros(4)
    for seed in range(600):
        for child in generation(GENETIC.build(seed=seed, initial="random", **settings), [0.0, 0.5, 1.0, 2.0]):
            genes += np.bincount(child.hyper_parents, minlength=4)
            weights[child.weights_parents[0]] += 1
    expected = np.array(expected, dtype=float) / np.sum(expected)
    for seen in (genes, weights):
        assert not seen[expected == 0.0].any()
        likely = expected > 0.0
        assert chisquare(seen[likely], seen.sum() * expected[likely]).pvalue > LIKELY


def test_an_elite_goes_on_unchanged():
    children = generation(GENETIC.build(elites=1), [3.0, 1.0, 2.0, 4.0])
    assert children[0].weights_parents == children[0].hyper_parents == (1,)
    assert children[0].genotype == GENETIC.build().ask(2)[1].genotype


# Genes and weights of a child


@pytest.mark.parametrize("crossover", ["none", "uniform", "one_point"])
def test_a_child_has_the_genes_of_its_parents_where_nothing_mutates(crossover):
    known = {}
    for member in run(GENETIC.build(mutation_rate=0.0, crossover=crossover)):
        if member.generation:
            parents = [known[parent].genotype for parent in member.hyper_parents]
            assert len(parents) == (1 if crossover == "none" else 2)
            for path, value in member.genotype.items():
                assert path == "model.skip_scale" or value in [parent[path] for parent in parents]
        known[member.id] = member


@pytest.mark.parametrize("weights", ["average", "layerwise"])
def test_weights_are_bred_of_the_gene_parents(weights):
    bred = [member for member in run(GENETIC.build(weights=weights, sigma=0.0)) if member.generation]
    for member in bred:
        a, b = member.hyper_parents
        assert member.weights_parents == ((a,) if a == b else (a, b))
        assert member.inheritance == ("clone" if a == b else weights)
    assert any(member.inheritance == weights for member in bred)


def test_the_mutation_is_annealed_linearly():
    space = Space((FloatGene("x", 0.0, 1.0),))
    search = Genetic(
        space,
        seed=0,
        budget=1,
        population_size=400,
        generations=11,
        crossover="none",
        mutation_rate=1.0,
        mutation_deviation=0.1,
        mutation_deviation_end=0.01,
    )
    equal = run(search, evaluate=lambda member, fails: Evaluation(member.id, 1.0))
    x = {member.id: member.genotype["x"] for member in equal}
    for number, deviation in [(1, 0.091), (5, 0.055), (10, 0.01)]:
        steps = [x[member.id] - x[member.hyper_parents[0]] for member in equal if member.generation == number]
        # The median, because at a border steps are folded back; 0.6745 is the upper quartile of a normal distribution.
        assert np.median(np.abs(steps)) / 0.6745 == pytest.approx(deviation, rel=0.15)


# The first population


@pytest.mark.parametrize("initial", ["sobol", "latin_hypercube", "random"])
def test_the_first_population_is_the_design(initial):
    members = GENETIC.build(seed=3, population_size=7, initial=initial).ask(7)
    points = unit_points(initial, 3, 7, len(SPACE))
    assert [member.genotype for member in members] == [SPACE.from_unit(point) for point in points]


def test_a_founder_goes_first_and_all_others_are_its_mutants():
    members = GENETIC.build(population_size=50, founder=FOUNDER, mutation_rate=0.1).ask(50)
    assert members[0].genotype == FOUNDER
    assert all(member.genotype != FOUNDER for member in members[1:])
    kept = [member.genotype[path] == value for member in members for path, value in FOUNDER.items()]
    assert 0.6 < np.mean(kept) < 0.9


def test_a_founder_of_whole_numbers_is_real_where_the_gene_is():
    founder = GENETIC.build(founder={**FOUNDER, "optimizer.lr": 1}).ask(1)[0].genotype
    assert founder["optimizer.lr"] == 1.0 and isinstance(founder["optimizer.lr"], float)
    assert isinstance(founder["model.width"], int)


# Several intervals


def test_an_individual_trains_its_intervals_before_it_is_selected():
    search = GENETIC.build(intervals=3, generations=2, elites=1)
    foms = {0: [1.0, 1.0, 4.0], 1: [2.0, 2.0, 2.0], 2: [3.0, 3.0, 1.0], 3: [4.0, 4.0, 3.0]}  # the last one counts
    first = search.ask(9)
    assert [member.id for member in first] == [0, 1, 2, 3]
    for interval in range(3):
        for member in first:
            search.tell(Evaluation(member.id, foms[member.slot][interval]))
        if interval < 2:
            further = search.ask(9)
            for before, member in zip(first, further, strict=True):
                assert member.id == before.id + 4 and member.generation == 0 and member.budget == 1
                assert member.slot == before.slot and member.genotype == before.genotype
                assert member.weights_parents == member.hyper_parents == (before.id,)
            first = further
    children = search.ask(9)
    assert [member.id for member in children] == [12, 13, 14, 15]
    assert all(member.generation == 1 for member in children)
    assert children[0].weights_parents == (8 + 2,)  # slot 2 was the best in the end


def test_an_individual_waits_for_nobody_before_its_next_interval():
    search = GENETIC.build(intervals=2)
    search.ask(4)
    search.tell(Evaluation(2, 1.0))
    assert [member.id for member in search.ask(4)] == [6]
    search.tell(Evaluation(6, 1.0))
    assert search.ask(4) == []
    assert search.needed() == {6}


def test_who_failed_gets_no_further_interval_and_is_no_parent():
    search = GENETIC.build(intervals=3, generations=2)
    assert search.num_evaluations == 24
    members = run(search, fails={1, 6})  # slot 1 in its first interval, slot 2 in its second
    assert not {5, 9, 10} & {member.id for member in members}
    assert len(members) == search.num_evaluations == 21
    parents = {parent for member in members if 12 <= member.id < 16 for parent in member.hyper_parents}
    assert parents <= {8, 11}


def test_from_scratch_all_intervals_are_trained_in_one_piece():
    members = run(GENETIC.build(intervals=3, inherit="none"))
    assert len(members) == 20 and {member.budget for member in members} == {3}


# Demes


@pytest.mark.parametrize(("slots", "num"), [(4, 1), (4, 2), (10, 3), (1000, 7), (5, 5)])
def test_demes_are_neighbouring_slots_in_even_shares(slots, num):
    demes = Demes(slots, num, "ring")
    shares = [demes.slots(deme) for deme in range(num)]
    assert [slot for share in shares for slot in share] == list(range(slots))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert all(demes.of(slot) == deme for deme, share in enumerate(shares) for slot in share)


def test_migrants_come_from_the_deme_before_or_from_any_other():
    rng = np.random.default_rng(0)
    assert [Demes(8, 4, "ring").source(rng, deme) for deme in range(4)] == [3, 0, 1, 2]
    seen = np.bincount([Demes(8, 4, "random").source(rng, 1) for _ in range(3000)], minlength=4)
    assert seen[1] == 0 and chisquare(seen[[0, 2, 3]]).pvalue > LIKELY
    assert Demes(8, 1, "random").source(rng, 0) == 0


def parents_by_deme(search, foms):
    """Genes and weights parents' slots of a second generation, for each of two demes."""
    children = generation(search, foms)
    half = len(foms) // 2
    return [
        {parent % len(foms) for child in share for parent in (*child.hyper_parents, *child.weights_parents)}
        for share in (children[:half], children[half:])
    ]


FOMS = [float(fom) for fom in (3, 1, 2, 4, 8, 6, 5, 7)]  # deme 0: best is slot 1, worst 3; deme 1: best 6, worst 4


def seen_over_seeds(foms=FOMS, **settings):
    both: list[set[int]] = [set(), set()]
    for seed in range(30):
        search = GENETIC.build(seed=seed, population_size=8, demes=2, sigma=0.0, **settings)
        both = [seen | parents for seen, parents in zip(both, parents_by_deme(search, foms), strict=True)]
    return both


def test_without_migration_demes_breed_among_themselves():
    assert seen_over_seeds(migration_interval=2) == [{0, 1, 2, 3}, {4, 5, 6, 7}]
    assert seen_over_seeds(migration_interval=1, migration_size=0) == [{0, 1, 2, 3}, {4, 5, 6, 7}]


@pytest.mark.parametrize("topology", ["ring", "random"])
def test_the_best_emigrate_and_replace_the_worst(topology):
    settings = {"migration_interval": 1, "topology": topology}
    assert seen_over_seeds(**settings) == [{0, 1, 2, 6}, {1, 5, 6, 7}]
    assert seen_over_seeds(**settings, migration_size=2) == [{1, 2, 5, 6}, {1, 2, 5, 6}]


def test_migrants_take_the_places_of_failed_members_first():
    foms = [*FOMS[:6], math.nan, FOMS[7]]  # the best of deme 1 fails; then its best is slot 5
    assert seen_over_seeds(foms, migration_interval=1) == [{0, 1, 2, 5}, {1, 4, 5, 7}]


def test_each_deme_keeps_its_own_elites():
    children = generation(GENETIC.build(population_size=8, demes=2, elites=2), FOMS)
    assert [children[slot].weights_parents for slot in (0, 1, 4, 5)] == [(1,), (2,), (6,), (5,)]


def test_a_deme_in_which_nobody_survived_is_settled_by_the_others():
    search = GENETIC.build(population_size=8, demes=2)
    for member, fom in zip(search.ask(8), FOMS, strict=True):
        fails = member.slot >= 4
        search.tell(Evaluation(member.id, math.nan if fails else fom, Status.FAILED if fails else Status.OK))
    assert all({*child.hyper_parents, *child.weights_parents} <= {0, 1, 2, 3} for child in search.ask(8))


# Settings


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("selection", "best"),
        ("crossover", "two_point"),
        ("mutation", "cauchy"),
        ("weights", "sum"),
        ("initial", "halton"),
        ("topology", "star"),
        ("sigma", -1.0),
        ("tournament", 0),
        ("truncation", 0.0),
        ("rank_pressure", 2.5),
        ("crossover_rate", 1.5),
        ("mutation_rate", -0.1),
        ("mutation_deviation", 0.0),
        ("mutation_deviation_end", 0.0),
        ("blend_alpha", -0.5),
        ("crossover_eta", -1.0),
        ("mutation_eta", -1.0),
        ("intervals", 0),
        ("demes", 0),
        ("demes", 5),
        ("elites", 4),
        ("migration_interval", 0),
        ("founder", {"optimizer.lr": 0.1}),
        ("founder", {**FOUNDER, "optimizer.rate": 0.1}),
        ("founder", {**FOUNDER, "optimizer.lr": 7.0}),
        ("founder", {**FOUNDER, "model.skip_scale": 0.5}),
    ],
)
def test_bad_settings_are_named(setting, value):
    with pytest.raises(SettingError, match=f"search.{setting}="):
        GENETIC.build(**{setting: value})


def test_settings_that_do_not_go_together_are_refused():
    with pytest.raises(SettingError, match=r"search\.elites=2 must be from 0 to 1"):
        GENETIC.build(demes=2, elites=2)
    with pytest.raises(SettingError, match=r"search\.migration_size=2 must be from 0 to 1"):
        GENETIC.build(demes=2, migration_size=2)
    with pytest.raises(SettingError, match=r"search\.weights='average' combines two parents"):
        GENETIC.build(crossover="none", weights="average")


def test_whole_numbers_only_are_bred_too():
    search = Genetic(Space((IntGene("n", 1, 3),)), seed=0, budget=1, crossover="blend", mutation="polynomial")
    members = run(search, evaluate=lambda member, fails: Evaluation(member.id, float(member.genotype["n"])))
    assert all(search.space.contains(member.genotype) for member in members)
