"""How a world divides, and what is said where it cannot."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestedga.errors import SettingError
from nestedga.layout import split_evenly


@given(world_size=st.integers(1, 300), group_size=st.integers(1, 300))
def test_every_rank_is_used_and_groups_differ_by_one(world_size, group_size):
    if group_size > world_size:
        with pytest.raises(SettingError, match=f"groups.group_size={group_size} is larger"):
            split_evenly(world_size, group_size, "spread")
        return
    layout = split_evenly(world_size, group_size, "spread")
    assert sum(layout.sizes) == world_size
    if world_size // layout.num_groups >= group_size:
        assert max(layout.sizes) - min(layout.sizes) <= 1 and min(layout.sizes) >= group_size
    groups = [layout.group_of(rank) for rank in range(world_size)]
    assert groups == sorted(groups)
    assert [groups.count(group) for group in range(layout.num_groups)] == list(layout.sizes)


def test_the_sums_are_told():
    assert str(split_evenly(64, 8, "refuse")) == "64 ranks = 8 groups x 8"
    assert str(split_evenly(7, 2, "spread")) == "7 ranks = 1 group x 3 + 2 groups x 2"
    with pytest.raises(SettingError, match=r"10 ranks = 3 groups x 3 \+ 1 left over; use groups.group_size=2 or 5"):
        split_evenly(10, 3, "refuse")
