"""Population based training against its paper."""

from __future__ import annotations

import math

import pytest

from tests.search.searches import SEARCHES, generation

PBT = SEARCHES["pbt"]


@pytest.mark.parametrize(
    ("truncation", "population_size", "replaced"), [(0.2, 4, 1), (0.25, 8, 2), (0.5, 5, 2), (0.01, 20, 1)]
)
def test_pbt_replaces_the_worst_by_copies_of_the_best(truncation, population_size, replaced):
    search = PBT.build(truncation=truncation, population_size=population_size)
    children = generation(search, [float(i) for i in range(population_size)])
    moved = [child for child in children if child.weights_parents[0] != child.slot]
    assert [child.slot for child in moved] == list(range(population_size - replaced, population_size))
    assert all(child.weights_parents[0] < replaced for child in moved)
    assert all(child.weights_parents == child.hyper_parents for child in children)


def test_pbt_replaces_failed_slots_first():
    search = PBT.build(truncation=0.25)
    children = generation(search, [0.0, math.nan, 2.0, 1.0])
    assert [child.weights_parents[0] for child in children] == [0, 0, 2, 3]
