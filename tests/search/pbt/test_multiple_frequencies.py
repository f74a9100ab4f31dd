"""Multiple-frequencies population based training against its paper and the authors' code."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nestedga.errors import SettingError
from nestedga.population.member import Evaluation
from nestedga.search.pbt.multiple_frequencies import MultipleFrequencies
from nestedga.search.pbt.pbt import PBT
from tests.search.greedy import best_of_greedy_trap
from tests.search.searches import SEARCHES

ENTRY = SEARCHES["multiple_frequencies"]


def generations(frequencies, population_size, num, seed=0, **settings):
    """Each generation's figures of merit with the members that come after."""
    search = ENTRY.build(
        frequencies=frequencies, population_size=population_size, generations=num + 1, seed=seed, **settings
    )
    rng = np.random.default_rng(seed)
    before = search.ask(population_size)
    for number in range(1, num + 1):
        foms = rng.permutation(population_size).astype(float)
        for member, fom in zip(before, foms, strict=True):
            search.tell(Evaluation(member.id, fom))
        members = search.ask(population_size)
        yield number, foms, before, members
        before = members


@pytest.mark.parametrize(("frequencies", "population_size"), [((1, 2, 3), 24), ((1, 3), 8), ((2, 5), 16)])
def test_who_copies_whom(frequencies, population_size):
    size = population_size // len(frequencies)
    quarter = size // 4
    migrations = 0
    for number, foms, before, members in generations(frequencies, population_size, 12):
        weights, genes = list(range(population_size)), list(range(population_size))
        ranking = [int(slot) for slot in np.argsort(foms)]
        for i, frequency in enumerate(frequencies):
            ours = [slot for slot in ranking if slot // size == i]
            theirs = [slot for slot in ranking if slot // size != i]
            if number % frequency:
                continue
            for loser, winner in zip(ours[-quarter:], ours[:quarter], strict=True):
                weights[loser] = genes[loser] = winner
            for slot in ours[2 * quarter : 3 * quarter]:
                if foms[theirs[0]] < foms[slot]:
                    weights[slot] = theirs.pop(0)
                    steadier = frequencies[weights[slot] // size] > frequency
                    genes[slot] = weights[slot] if steadier else ours[0]
                    assert members[slot].genotype == before[genes[slot]].genotype  # without exploring
                    migrations += 1
        assert [member.weights_parents[0] for member in members] == [before[slot].id for slot in weights]
        assert [member.hyper_parents[0] for member in members] == [before[slot].id for slot in genes]
    assert migrations > 3


def test_genes_of_greedy_lines_never_reach_steady_ones():
    size = 8
    for _, _, _, members in generations((1, 2), 2 * size, 30):
        steady = members[size:]
        assert all(member.hyper_parents[0] % (2 * size) >= size for member in steady)


def test_a_failed_slot_is_replaced_at_once_and_a_failed_sub_population_from_outside():
    search = ENTRY.build(frequencies=(5, 9), population_size=8)
    foms = [math.nan, 2.0, 1.0, 3.0, math.nan, math.nan, math.nan, math.nan]
    for member, fom in zip(search.ask(8), foms, strict=True):
        search.tell(Evaluation(member.id, fom))
    assert [member.weights_parents[0] for member in search.ask(8)] == [2, 1, 2, 3, 2, 2, 2, 2]


def test_it_is_less_greedy_than_pbt():
    for seed in range(3):
        greedy = best_of_greedy_trap(PBT, seed)
        assert best_of_greedy_trap(MultipleFrequencies, seed, frequencies=(1, 20)) < 0.8 < greedy


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("frequencies", (2, 1)),
        ("frequencies", (0, 1)),
        ("frequencies", ()),
        ("population_size", 5),
        ("population_size", 2),
        ("exploit", "t_test"),
    ],
)
def test_bad_settings_are_named(setting, value):
    with pytest.raises(SettingError, match=rf"search\.{setting}="):
        ENTRY.build(**{setting: value})
