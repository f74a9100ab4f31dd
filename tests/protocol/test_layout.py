"""How a world divides, and what is said where it cannot."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestedga.errors import SettingError
from nestedga.protocol.layout import GroupsConfig, Layout, largest_group, parted, split_evenly


@given(world_size=st.integers(1, 300), group_size=st.integers(1, 300))
def test_every_rank_is_used_and_groups_differ_by_one(world_size, group_size):
    if group_size > world_size:
        with pytest.raises(SettingError, match=f"groups.group_size={group_size} is larger"):
            split_evenly(world_size, group_size, "spread")
        return
    layout = Layout.from_config(world_size, GroupsConfig(group_size=group_size))
    assert layout == split_evenly(world_size, group_size, "spread")
    assert min(layout.sizes) >= group_size and max(layout.sizes) - min(layout.sizes) <= 1
    assert layout.num_groups == world_size // group_size


@given(sizes=st.lists(st.integers(1, 20), min_size=1))
def test_groups_are_consecutive_ranks_and_led_by_the_first(sizes):
    layout = Layout.from_config(sum(sizes), GroupsConfig(sizes=sizes))
    assert layout.sizes == tuple(sizes) and layout.num_groups == len(sizes)
    assert [rank for ranks in layout.groups for rank in ranks] == list(range(sum(sizes)))
    assert layout.leaders == tuple(ranks[0] for ranks in layout.groups)
    assert largest_group(GroupsConfig(sizes=sizes)) == max(sizes)


def test_the_sums_are_told():
    assert str(split_evenly(64, 8, "refuse")) == "64 ranks = 8 groups x 8"
    assert str(split_evenly(7, 2, "spread")) == "7 ranks = 1 group x 3 + 2 groups x 2"
    with pytest.raises(SettingError, match=r"10 ranks = 3 groups x 3 \+ 1 left over; use groups.group_size=2 or 5"):
        split_evenly(10, 3, "refuse")


MISTAKES = {
    r"4 \+ 2 \+ 2 = 8 ranks, but the world has 6; start 8 ranks or name sizes that sum to 6": {"sizes": [4, 2, 2]},
    r"names no group; name sizes that sum to 6, or null": {"sizes": []},
    r"sizes=\[6, 0\]: a group of 0 has fewer ranks than groups.group_size=1": {"sizes": [6, 0]},
    r"sizes=\[7, -1\]: a group of -1 has fewer": {"sizes": [7, -1]},
    r"sizes=\[5, 1\]: a group of 1 has fewer ranks than groups.group_size=2": {"sizes": [5, 1], "group_size": 2},
    r"sizes=\[4, 2\] stay for the whole run; use them or groups.resplit=spare": {"sizes": [4, 2], "resplit": "spare"},
    r"groups.group_size=0 must be 1 or more": {"group_size": 0},
}


@pytest.mark.parametrize(("says", "given"), MISTAKES.items())
def test_a_layout_that_cannot_be_is_refused(says, given):
    with pytest.raises(SettingError, match=says):
        Layout.from_config(6, GroupsConfig(**given))


def test_a_batch_is_cut_for_the_largest_group_that_can_come():
    assert largest_group(GroupsConfig(group_size=3)) == 3
    assert largest_group(GroupsConfig(group_size=3, resplit="spare")) == largest_group(
        GroupsConfig(group_size=3, resplit="fitness")
    )
    assert largest_group(GroupsConfig(group_size=3, resplit="spare")) == 6


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=20), num_parts=st.integers(1, 20))
def test_parts_are_whole_groups_one_after_the_other_and_as_even_as_they_can_be(sizes, num_parts):
    layout = Layout(tuple(sizes))
    if num_parts > len(sizes):
        with pytest.raises(SettingError, match=rf"coordinator.count={num_parts}.*ranks? = "):
            parted(layout, num_parts)
        return
    parts = parted(layout, num_parts)
    assert len(parts) == num_parts and all(part.num_groups for part in parts)
    assert [group for part in parts for group in part.groups] == layout.groups
    if len(set(sizes)) == 1:
        assert max(part.num_groups for part in parts) - min(part.num_groups for part in parts) <= 1
