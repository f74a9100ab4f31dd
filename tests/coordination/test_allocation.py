"""How idle ranks are shared: laws over all numbers of ranks and members."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestedga.coordination.allocation import Allocation, apportion
from nestedga.errors import SettingError
from nestedga.protocol.layout import GroupsConfig

PROMISES = st.lists(st.floats(-9, 9) | st.just(math.inf), min_size=1, max_size=40).map(sorted)
ALLOTMENTS = st.builds(
    lambda group_size, more, by_fitness: Allocation(group_size, more and group_size + more, by_fitness),
    st.integers(1, 9),
    st.none() | st.integers(1, 20),
    st.booleans(),
)


@st.composite
def cases(draw):
    allocation = draw(ALLOTMENTS)
    return allocation, draw(PROMISES), draw(st.integers(allocation.group_size, 300))


@given(cases())
def test_every_rank_has_a_group_and_every_member_that_can_has_one(case):
    allocation, promises, num_ranks = case
    sizes = allocation.sizes(promises, num_ranks)
    assert sum(sizes) == num_ranks and list(sizes) == sorted(sizes, reverse=True)
    assert min(sizes) >= allocation.group_size
    assert len(sizes) >= min(len(promises), allocation.num_groups(num_ranks))
    if allocation.largest is None:
        assert len(sizes) == min(len(promises), allocation.num_groups(num_ranks))


@given(cases())
def test_no_group_has_ranks_without_use_while_another_could_be_formed_of_them(case):
    allocation, promises, num_ranks = case
    sizes = allocation.sizes(promises, num_ranks)
    useless = sum(max(0, size - (allocation.largest or size)) for size in sizes)
    assert useless < allocation.group_size


@given(cases())
def test_where_nobody_promises_more_than_another_fitness_changes_nothing(case):
    allocation, promises, num_ranks = case
    alike = [1.0] * len(promises)
    sizes = [Allocation(allocation.group_size, allocation.largest, by).sizes(alike, num_ranks) for by in (True, False)]
    assert sizes[0] == sizes[1]


@given(cases())
def test_by_number_alone_groups_of_members_differ_by_one(case):
    allocation, promises, num_ranks = case
    allocation = Allocation(allocation.group_size, None, by_fitness=False)
    sizes = allocation.sizes(promises, num_ranks)
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_where_as_many_wait_as_there_are_groups_all_stays(group_size, num_groups, more, by_fitness):
    allocation = Allocation(group_size, 2 * group_size, by_fitness)
    promises = [float(i) for i in range(num_groups + more)]
    assert allocation.sizes(promises, group_size * num_groups) == (group_size,) * num_groups


@given(
    st.lists(st.integers(0, 5) | st.floats(0.0, 5.0), min_size=1, max_size=30).map(lambda w: sorted(w, reverse=True)),
    st.integers(0, 200),
    st.integers(0, 40),
)
def test_shares_follow_the_weights(weights, total, most):
    shares = apportion(np.array(weights, float), total, most)
    assert shares.sum() == min(total, most * len(weights))
    assert shares.min() >= 0 and shares.max() <= most
    assert list(shares) == sorted(shares, reverse=True)
    for weight in set(weights):
        equals = shares[np.array(weights) == weight]
        assert equals.max() - equals.min() <= 1
    quotas = total * np.array(weights) / (sum(weights) or 1.0)
    if sum(weights) and quotas.max() < most:
        assert np.all(abs(shares - quotas) < 1.0 + 1e-9), "the quota rule of largest remainders"


def test_examples():
    spare, fitness = Allocation(2, 4, by_fitness=False), Allocation(2, 4, by_fitness=True)
    assert spare.sizes([0.1], 4) == (4,)
    assert spare.sizes([0.1, 0.2], 4) == (2, 2)
    assert spare.sizes([0.1, 0.2, 0.3], 8) == (3, 3, 2)
    assert Allocation(2, 6, by_fitness=True).sizes([0.1, 0.2, 0.3], 10) == (5, 3, 2)  # of 4 to spare 8/3, 4/3 and none
    assert fitness.sizes([math.inf] * 3, 8) == (3, 3, 2)  # nobody promises more than another
    assert fitness.sizes([0.1, 0.2], 8) == (4, 4)  # all to the best is more than it has a use for
    assert spare.sizes([0.1], 16) == (4, 2, 2, 2, 2, 2, 2)
    assert spare.sizes([0.1], 5) == (5,)  # one too little for a group of its own
    assert Allocation(1, None, by_fitness=True).sizes([1.0, 2.0, 3.0], 9) == (5, 3, 1)


def test_the_settings():
    groups = GroupsConfig(group_size=2, resplit="fitness")
    assert Allocation.from_config(replace(groups, resplit="never"), None) is None
    assert Allocation.from_config(groups, 4) == Allocation(2, 4, by_fitness=True)
    assert Allocation.from_config(groups, None) == Allocation(2, None, by_fitness=True)
    with pytest.raises(SettingError, match="groups.resplit='often' is unknown; use never, spare or fitness"):
        Allocation.from_config(replace(groups, resplit="often"), None)
    with pytest.raises(SettingError, match="data.micro_batches=2 a group of more than 2 .* data.micro_batches=4"):
        Allocation.from_config(groups, 2)
