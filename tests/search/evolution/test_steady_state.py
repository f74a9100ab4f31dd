"""Steady-state and aging evolution against their algorithms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import chisquare

from nestedga.errors import SettingError
from nestedga.population.member import Evaluation, Status
from nestedga.search.evolution.steady_state import SteadyState
from nestedga.search.sampling.design import unit_points
from tests.search.searches import FOUNDER, SEARCHES, SPACE, run

STEADY_STATE = SEARCHES["steady_state"]
LIKELY = 0.001  # a test whose figure is unlikelier than this is red; the seeds are fixed


def told(search, foms):
    """Asks and tells one member for each FoM, NaN for failed ones; gives the members."""
    members = []
    for fom in foms:
        (member,) = search.ask(1)
        search.tell(Evaluation(member.id, fom, Status.FAILED if math.isnan(fom) else Status.OK))
        members.append(member)
    return members


def test_the_first_population_is_the_design_and_all_others_have_parents():
    members = run(STEADY_STATE.build(population_size=8))
    points = unit_points("sobol", 0, 8, len(SPACE))
    assert [member.genotype for member in members[:8]] == [SPACE.from_unit(point) for point in points]
    assert all(member.hyper_parents == () for member in members[:8])
    assert all(len(member.hyper_parents) == 2 for member in members[8:])


def test_it_can_begin_with_a_founder():
    members = STEADY_STATE.build(founder=FOUNDER).ask(4)
    assert members[0].genotype == FOUNDER and all(member.genotype != FOUNDER for member in members[1:])


def test_parents_win_tournaments_as_often_as_the_formula_says():
    seen, foms, size = np.zeros(4), [2.0, 0.0, 1.0, 3.0], 3
    for seed in range(1000):
        search = STEADY_STATE.build(seed=seed, initial="random", crossover="none", tournament=size)
        told(search, foms)
        (child,) = search.ask(1)
        assert child.weights_parents == child.hyper_parents
        seen[int(foms[child.hyper_parents[0]])] += 1
    place = np.arange(4.0)
    expected = ((4 - place) ** size - (3 - place) ** size) / 4**size
    assert chisquare(seen, 1000 * expected).pvalue > LIKELY


def test_the_weights_are_the_better_parents():
    children = []
    for seed in range(50):
        search = STEADY_STATE.build(seed=seed, tournament=1)
        told(search, [3.0, 1.0, 2.0, 0.0])
        children += search.ask(1)
    foms = {0: 3.0, 1: 1.0, 2: 2.0, 3: 0.0}
    assert {child.weights_parents[0] for child in children} == {0, 1, 2, 3}
    for child in children:
        assert foms[child.weights_parents[0]] == min(foms[parent] for parent in child.hyper_parents)


@pytest.mark.parametrize("weights", ["average", "layerwise"])
def test_weights_are_bred_of_both_with_the_better_first(weights):
    combined = 0
    for seed in range(30):
        search = STEADY_STATE.build(seed=seed, weights=weights, tournament=1)
        told(search, [0.0, 1.0, 2.0, 3.0])
        (child,) = search.ask(1)
        assert list(child.weights_parents) == sorted(set(child.hyper_parents))
        assert child.inheritance == (weights if len(child.weights_parents) == 2 else "clone")
        combined += len(child.weights_parents) == 2
    assert 15 <= combined <= 29


def test_in_aging_evolution_the_oldest_dies():
    search = STEADY_STATE.build()
    told(search, [0.0, 1.0, 2.0, 3.0])
    assert search.needed() == {0, 1, 2, 3}
    told(search, [9.0])
    assert search.needed() == {1, 2, 3, 4}  # though 0 was the best and 4 is the worst
    told(search, [math.nan, 9.0])
    assert search.needed() == {2, 3, 4, 6}


def test_the_worst_dies_also_if_it_is_the_child():
    search = STEADY_STATE.build(replace="worst")
    told(search, [0.0, 3.0, 2.0, 1.0])
    assert search.needed() == {0, 1, 2, 3}
    told(search, [2.5])
    assert search.needed() == {0, 2, 3, 4}
    told(search, [9.0, math.nan])
    assert search.needed() == {0, 2, 3, 4}
    told(search, [2.5])
    assert search.needed() == {0, 2, 3, 7}  # of equals the older


def test_nobody_waits():
    search = STEADY_STATE.build(tournament=2)
    flying = search.ask(9)
    assert len(flying) == 9 and all(member.hyper_parents == () for member in flying)
    search.tell(Evaluation(7, 1.0))
    assert search.ask(1)[0].hyper_parents == ()  # one alone is no tournament
    search.tell(Evaluation(3, 2.0))
    assert set(search.ask(1)[0].hyper_parents) <= {3, 7}


def test_children_count_the_breedings_behind_them():
    members = run(STEADY_STATE.build())
    generations = {member.id: member.generation for member in members}
    for member in members:
        behind = [generations[parent] for parent in member.hyper_parents]
        assert member.generation == (1 + max(behind) if behind else 0)
        assert member.slot == member.id % 4


@pytest.mark.parametrize("topology", ["ring", "random"])
@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_a_parent_comes_from_another_deme_with_the_rate(rate, topology):
    search = STEADY_STATE.build(
        population_size=12, generations=100, demes=3, migration_rate=rate, topology=topology, crossover="none"
    )
    members = run(search)
    moves = [((m.slot // 4) - (m.hyper_parents[0] % 12) // 4) % 3 for m in members if m.hyper_parents]
    seen, num = np.bincount(moves, minlength=3), len(moves)
    assert num == 1200 - 12
    if 0.0 < rate < 1.0:
        assert chisquare([num - seen[0], seen[0]], [rate * num, (1 - rate) * num]).pvalue > LIKELY
    else:
        assert seen[0] == (1.0 - rate) * num
    if topology == "ring":
        assert seen[2] == 0  # from the deme before
    elif rate:
        assert chisquare(seen[1:]).pvalue > LIKELY


def test_a_deme_in_which_all_fail_begins_afresh_and_takes_part_later():
    search = STEADY_STATE.build(population_size=8, demes=2, migration_rate=0.0)
    told(search, [1.0, 2.0, 3.0, 4.0, *[math.nan] * 4])
    members = told(search, [1.0] * 8)
    assert all(member.hyper_parents for member in members[:4])
    assert all(member.hyper_parents == () for member in members[4:])
    assert set(told(search, [1.0] * 5)[4].hyper_parents) <= {12, 13, 14, 15}


def test_nobody_is_needed_when_nobody_more_is_born():
    search = STEADY_STATE.build(generations=2)
    told(search, [1.0] * 7)
    assert search.needed()
    (last,) = search.ask(1)
    assert search.needed() == set() and not search.done
    search.tell(Evaluation(last.id, 1.0))
    assert search.done


@pytest.mark.parametrize(
    ("setting", "value"),
    [("replace", "best"), ("tournament", 0), ("migration_rate", 1.1), ("evaluations", 3), ("demes", 9)],
)
def test_bad_settings_are_named(setting, value):
    with pytest.raises(SettingError, match=f"search.{setting}="):
        SteadyState(SPACE, seed=0, budget=1, **{setting: value})
