"""FIRE PBT against its formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from nestedga.errors import SettingError
from nestedga.population.member import Evaluation
from nestedga.search.pbt.fire import FIRE, advantage, overlap, sign_test
from nestedga.search.pbt.pbt import PBT
from tests.search.greedy import best_of_greedy_trap
from tests.search.searches import SEARCHES

ENTRY = SEARCHES["fire"]


def curve(*values):
    return np.array(values, dtype=float)


# Curves, larger is better


def test_curves_overlap_from_where_the_worse_reaches_the_others_beginning():
    slow, quick = curve(4, 4, 5, 6, 6, 7), curve(0, 8, 8, 8)  # quick smoothed: 0, 4, 6, 7
    assert overlap(quick, slow) == (slice(1, 4), slice(0, 3))
    assert overlap(slow, quick) == (slice(0, 3), slice(1, 4))
    assert overlap(curve(0, 1, 2), curve(5, 6, 7)) is None


def test_advantage_compares_the_best_where_curves_overlap():
    slow, quick = curve(4, 4, 5, 6, 6, 7), curve(0, 8, 9, 8)
    assert advantage(quick, slow) == 9.0 - 5.0
    assert advantage(slow, quick) == 5.0 - 9.0


def test_advantage_of_a_curve_that_is_ahead_everywhere_is_its_rate():
    steep, flat = curve(10, 12, 14, 16), curve(1, 2, 3, 4)
    assert advantage(steep, flat) > 1.0
    assert advantage(flat, steep) == 0.0
    assert advantage(flat + 100.0, flat + np.array([0.0, 4.0, 8.0, 12.0])) == pytest.approx(0.0, abs=1.0)


def test_sign_test_is_binomial():
    a, b = curve(1, 2, 3, 4, 5, 6), curve(1, 1, 4, 3, 4, 5)
    assert overlap(a, b) == (slice(0, 6), slice(0, 6))
    assert sign_test(a, b) == pytest.approx(binom.sf(3, 6, 0.5))  # ahead at 4 of 6
    assert sign_test(a + 10.0, b) == 0.0


# Slots


def tell(search, members, foms):
    for member in members:
        search.tell(Evaluation(member.id, foms[member.slot]))
    return search.ask(len(members))


def test_an_evaluator_takes_a_parents_weights_and_the_best_greedy_lines_genes():
    search = ENTRY.build(population_size=8, parents=3, evaluators=2, generations=9, burn_in=99)
    first = search.ask(8)
    second = tell(search, first, [3.0, 1.0, 2.0, 9.0, 9.0, 9.0, 9.0, 9.0])
    for evaluator, parent in zip(second[6:], (3, 4), strict=True):
        assert (evaluator.hyper_parents, evaluator.weights_parents) == ((1,), (parent,))
        assert evaluator.genotype == first[1].genotype
    third = tell(search, second, [3.0, 1.0, 2.0, 9.0, 9.0, 9.0, 9.0, 9.0])
    assert [member.weights_parents[0] for member in third] == [member.id for member in second]  # trials go on


def test_a_success_gives_the_child_the_evaluators_weights_and_its_own_genes():
    search = ENTRY.build(population_size=8, parents=3, evaluators=2, generations=13, burn_in=99, significance=0.05)
    members, successes = search.ask(8), []
    for number in range(11):
        # The child, slot 1, improves slowly; one evaluator begins worse and overtakes, the other gets nowhere.
        foms = [50.0, 20.0 - 0.5 * number, 60.0, 70.0, 70.0, 70.0, 30.0 - 3.0 * number, 80.0]
        before, members = members, tell(search, members, foms)
        if members[1].weights_parents != (before[1].id,):
            assert (members[1].weights_parents, members[1].hyper_parents) == ((before[6].id,), (before[1].id,))
            assert members[1].genotype == before[1].genotype
            assert members[6].weights_parents[0] % 8 in (3, 4, 5)  # the evaluator has a new parent
            successes.append(number)
    assert successes == [9]  # five intervals ahead of the child's first five: p = 1/32


def test_an_evaluator_without_overlap_stops_after_max_trial_intervals():
    search = ENTRY.build(population_size=6, parents=3, evaluators=1, generations=12, burn_in=99, max_trial=3)
    members, parents = search.ask(6), []
    for _ in range(10):
        members = tell(search, members, [1.0, 2.0, 9.0, 9.0, 9.0, 8.0])
        parents.append(members[5].weights_parents[0] % 6)
    assert parents == [2, 5, 5, 3, 5, 5, 4, 5, 5, 2]  # the longest waiting comes next


def test_parents_are_replaced_by_improvement_not_by_figure_of_merit():
    search = ENTRY.build(population_size=8, parents=3, evaluators=3, generations=12, truncation=0.3)
    members, copied = search.ask(8), []
    for number in range(4):
        # Parent 3 has the worst figure of merit; but its evaluator, slot 6, improves fastest, and parent 4's does not.
        foms = [50.0, 51.0, 10.0, 90.0, 30.0, 70.0 - number, 70.0 - 5.0 * number, 70.0]
        before, members = members, tell(search, members, foms)
        copied += [
            (slot, members[slot].weights_parents[0] % 8)
            for slot in (2, 3, 4)
            if members[slot].weights_parents != (before[slot].id,)
        ]
    assert copied == [(4, 3), (2, 3)]  # once 4 is replaced its trial is over, and 2 is the worse of two


def test_failures_end_trials_and_harm_nobody():
    search = ENTRY.build(population_size=6, parents=2, evaluators=2, generations=30)
    members = search.ask(6)
    for number in range(28):
        foms = [math.nan if (number + slot) % 4 == 0 else float(slot) for slot in range(6)]
        members = tell(search, members, foms)
        assert len(members) == 6


def test_it_is_less_greedy_than_pbt():
    for seed in range(3):
        assert best_of_greedy_trap(FIRE, seed) < 0.9 < best_of_greedy_trap(PBT, seed)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("population_size", 3),
        ("parents", 0),
        ("parents", 7),
        ("evaluators", 3),
        ("evaluators", 0),
        ("max_trial", 0),
        ("exploit", "t_test"),
        ("patience", 3),
    ],
)
def test_bad_settings_are_named(setting, value):
    with pytest.raises(SettingError, match=rf"search\.{setting}="):
        ENTRY.build(**{"population_size": 6, setting: value})
