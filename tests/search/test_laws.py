"""Laws that every search keeps, run over all of them and over random histories."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestedga.errors import SettingError
from nestedga.member import Evaluation, Member, Status
from nestedga.search.base import Search
from nestedga.search.genetic import Genetic
from nestedga.search.pbt import PBT
from nestedga.space import CategoricalGene, FloatGene, IntGene, OrdinalGene, Space

SPACE = Space(
    (
        FloatGene("optimizer.lr", 1e-4, 1.0, log=True),
        FloatGene("optimizer.momentum", 0.0, 0.99),
        IntGene("model.width", 1, 64),
        OrdinalGene("data.batch_size", (16, 32, 64)),
        CategoricalGene("model.skip", (False, True)),
    )
)
GENERATIONAL = {
    "genetic": Genetic,
    "genetic_elite": functools.partial(Genetic, elites=1),
    "pbt": PBT,
    "pbt_half": functools.partial(PBT, truncation=0.5),
}
every_search = pytest.mark.parametrize("make", GENERATIONAL.values(), ids=GENERATIONAL)


def build(make, *, seed=0, population_size=4, generations=5, inherit="weights", space=SPACE) -> Search:
    return make(space, seed=seed, population_size=population_size, generations=generations, budget=1, inherit=inherit)


def bowl(member: Member) -> float:
    lr, momentum = member.genotype["optimizer.lr"], member.genotype["optimizer.momentum"]
    return (math.log10(lr) + 2.0) ** 2 + (momentum - 0.9) ** 2 + 0.01 * abs(member.genotype["model.width"] - 20)


def evaluate(member: Member, fails=frozenset()) -> Evaluation:
    if member.id in fails:
        return Evaluation(member.id, math.nan, Status.FAILED)
    return Evaluation(member.id, bowl(member))


def run(search: Search, *, groups=1, fails=frozenset(), shuffle=None) -> list[Member]:
    """Drives a search with some groups whose evaluations come back in a shuffled order; gives all members."""
    rng = np.random.default_rng(shuffle)
    members, flying = [], []
    while not search.done:
        asked = search.ask(groups - len(flying))
        members += asked
        flying += asked
        assert flying, "not done, nothing in flight, and yet ask answers nothing"
        search.tell(evaluate(flying.pop(rng.integers(len(flying)) if shuffle is not None else 0), fails))
    return members


@every_search
def test_ids_are_unique_and_budget_is_spent(make):
    search = build(make)
    members = run(search, groups=3)
    assert len({member.id for member in members}) == len(members) == search.num_evaluations


@every_search
def test_genes_stay_in_their_space(make):
    assert all(SPACE.contains(member.genotype) for member in run(build(make, generations=20)))


@every_search
@pytest.mark.parametrize("groups", [2, 4, 7])
def test_result_depends_neither_on_groups_nor_on_order(make, groups):
    alone = sorted(run(build(make)), key=lambda member: member.id)
    together = sorted(run(build(make), groups=groups, shuffle=1), key=lambda member: member.id)
    assert alone == together


@every_search
@settings(max_examples=40, deadline=None)
@given(
    groups=st.integers(1, 5),
    shuffle=st.integers(0, 99),
    fails=st.frozensets(st.integers(0, 19)),
    cut=st.integers(0, 40),
)
def test_adopt_and_tell_of_any_prefix_leave_it_as_if_never_interrupted(make, groups, shuffle, fails, cut):
    rng = np.random.default_rng(shuffle)
    first, journal, flying = build(make), [], []
    while not first.done and len(journal) < cut:
        for member in first.ask(groups - len(flying)):
            journal.append(member)
            flying.append(member)
        evaluation = evaluate(flying.pop(rng.integers(len(flying))), fails)
        journal.append(evaluation)
        first.tell(evaluation)
    second = build(make)
    for entry in journal:
        second.adopt(entry) if isinstance(entry, Member) else second.tell(entry)
    assert second.done == first.done
    assert second.needed() == first.needed()
    assert second.ask(3) == first.ask(3)


@every_search
@settings(max_examples=40, deadline=None)
@given(fails=st.frozensets(st.integers(0, 19)))
def test_a_failed_member_is_never_a_parent_and_lineage_is_honest(make, fails):
    known = {}
    for member in run(build(make), groups=4, fails=fails):
        for parent in (*member.hyper_parents, *member.weights_parents):
            assert parent in known and parent not in fails
        known[member.id] = member


@every_search
def test_a_wholly_failed_generation_goes_on_with_fresh_members(make):
    members = run(build(make), fails=frozenset(range(4)))
    assert all(member.weights_parents == () for member in members if member.generation == 1)
    assert all(len(member.weights_parents) == 1 for member in members if member.generation == 2)


@every_search
def test_needed_names_every_parent_still_to_come(make):
    search = build(make)
    while not search.done:
        needed = search.needed()
        for member in search.ask(1):
            assert set(member.weights_parents) <= needed
            search.tell(evaluate(member))
    assert search.needed() == set()


@every_search
def test_inherit_none_trains_from_scratch(make):
    members = run(build(make, inherit="none"))
    assert all(member.weights_parents == () for member in members)
    assert any(member.hyper_parents for member in members)


@every_search
def test_telling_a_stranger_or_twice_raises(make):
    search = build(make)
    member = search.ask(1)[0]
    with pytest.raises(ValueError, match="never asked"):
        search.tell(Evaluation(99, 0.0))
    search.tell(evaluate(member))
    with pytest.raises(ValueError, match="told before"):
        search.tell(evaluate(member))


@every_search
def test_a_thousand_slots(make):
    members = run(build(make, population_size=1000, generations=2), groups=50)
    assert len(members) == 2000


@every_search
def test_equal_foms_are_sound(make):
    search = build(make)
    for _ in range(search.num_evaluations):
        search.tell(Evaluation(search.ask(1)[0].id, 1.0))
    assert search.done


@every_search
def test_beats_random_on_a_bowl(make):
    def best(members):
        return min(bowl(member) for member in members)

    def random(seed):
        rng = np.random.default_rng(seed)
        return [Member(i, 0, 0, SPACE.sample(rng), (), (), 1) for i in range(160)]

    ours = [best(run(build(make, seed=seed, population_size=16, generations=10))) for seed in range(20)]
    theirs = [best(random(seed)) for seed in range(20)]
    assert np.median(ours) < np.median(theirs)


@every_search
@pytest.mark.parametrize(
    ("setting", "value"),
    [("population_size", 1), ("generations", 0), ("inherit", "genes"), ("space", Space(()))],
)
def test_bad_settings_are_named(make, setting, value):
    with pytest.raises(SettingError, match=setting):
        build(make, **{setting: value})


def generation(search, foms):
    """Runs the first generation with given FoMs and gives the second."""
    for member, fom in zip(search.ask(len(foms)), foms, strict=True):
        search.tell(Evaluation(member.id, fom))
    return search.ask(len(foms))


def test_genetic_draws_parents_in_proportion_to_the_published_fitness():
    foms, sigma = [0.0, 0.5, 1.0, 2.0], 2.0
    counts = np.zeros(4)
    weights = np.zeros(4)
    for seed in range(500):
        for child in generation(build(functools.partial(Genetic, sigma=sigma), seed=seed), foms):
            counts += np.bincount(child.hyper_parents, minlength=4)
            weights[child.weights_parents[0]] += 1
    expected = np.array([math.exp(-sigma * (fom / 2.0) ** 2) for fom in foms])
    expected /= expected.sum()
    for seen in (counts, weights):
        chi_squared = ((seen - seen.sum() * expected) ** 2 / (seen.sum() * expected)).sum()
        assert chi_squared < 16.27  # 99.9 % point for 3 degrees of freedom


def test_genetic_child_has_the_genes_of_its_parents_where_nothing_mutates():
    search = build(functools.partial(Genetic, mutation_rate=0.0))
    known = {}
    while not search.done:
        for member in search.ask(4):
            if member.generation:
                a, b = (known[parent].genotype for parent in member.hyper_parents)
                assert all(value in (a[path], b[path]) for path, value in member.genotype.items())
            known[member.id] = member
            search.tell(evaluate(member))


def test_an_elite_goes_on_unchanged():
    children = generation(build(functools.partial(Genetic, elites=1)), [3.0, 1.0, 2.0, 4.0])
    assert children[0].weights_parents == children[0].hyper_parents == (1,)
    assert children[0].genotype == build(Genetic).ask(2)[1].genotype


@pytest.mark.parametrize(
    ("truncation", "population_size", "replaced"), [(0.2, 4, 1), (0.25, 8, 2), (0.5, 5, 2), (0.01, 20, 1)]
)
def test_pbt_replaces_the_worst_by_copies_of_the_best(truncation, population_size, replaced):
    search = build(functools.partial(PBT, truncation=truncation), population_size=population_size)
    children = generation(search, [float(i) for i in range(population_size)])
    moved = [child for child in children if child.weights_parents[0] != child.slot]
    assert [child.slot for child in moved] == list(range(population_size - replaced, population_size))
    assert all(child.weights_parents[0] < replaced for child in moved)
    assert all(child.weights_parents == child.hyper_parents for child in children)


def test_pbt_replaces_failed_slots_first():
    search = build(functools.partial(PBT, truncation=0.25))
    children = generation(search, [0.0, math.nan, 2.0, 1.0])
    assert [child.weights_parents[0] for child in children] == [0, 0, 2, 3]


def test_two_seeds_differ_and_one_seed_does_not():
    for make in GENERATIONAL.values():
        one, again, other = (run(build(make, seed=seed)) for seed in (1, 1, 2))
        assert one == again != other
        genotypes = [tuple(member.genotype.items()) for member in one[:4]]
        assert all(a != b for a, b in itertools.combinations(genotypes, 2))
