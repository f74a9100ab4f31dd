"""Which rank is in which group: sums only, no MPI."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from nestedga.errors import SettingError


@dataclass(frozen=True, slots=True)
class GroupsConfig:
    """Section ``groups``; conf/config.yaml says what each setting means."""

    group_size: int = 1
    remainder: str = "spread"
    sizes: list[int] | None = None
    resplit: str = "never"


@dataclass(frozen=True, slots=True)
class Layout:
    """Groups of consecutive world ranks, so that a group stays on as few nodes as possible.

    Attributes:
        sizes: ranks of each group.
        first: world rank at which the first group begins.
    """

    sizes: tuple[int, ...]
    first: int = 0

    @classmethod
    def from_config(cls, world_size: int, groups: GroupsConfig) -> Layout:
        """The layout with which a job of so many ranks begins.

        Raises:
            SettingError: with the sums, where it cannot be.
        """
        if groups.sizes is None:
            return split_evenly(world_size, groups.group_size, groups.remainder)
        if groups.resplit != "never":
            raise SettingError(
                f"groups.sizes={groups.sizes} stay for the whole run; use them or "
                f"groups.resplit={groups.resplit}, which forms groups of groups.group_size ranks and more"
            )
        return fixed(world_size, groups.group_size, groups.sizes)

    @property
    def num_groups(self) -> int:
        return len(self.sizes)

    @property
    def groups(self) -> list[tuple[int, ...]]:
        """World ranks of each group, its leader first. A group is named by its leader's world rank."""
        ends = list(itertools.accumulate(self.sizes, initial=self.first))[1:]
        return [tuple(range(end - size, end)) for size, end in zip(self.sizes, ends, strict=True)]

    @property
    def leaders(self) -> tuple[int, ...]:
        return tuple(ranks[0] for ranks in self.groups)

    def __str__(self) -> str:
        """As in "64 ranks = 8 groups x 8" or "7 ranks = 1 group x 3 + 2 groups x 2"."""
        kinds = sorted(set(self.sizes), reverse=True)
        terms = [f"{_count(self.sizes.count(size), 'group')} x {size}" for size in kinds]
        return f"{_count(sum(self.sizes), 'rank')} = {' + '.join(terms)}"


def largest_group(groups: GroupsConfig) -> int:
    """Ranks of the largest group that the section ``groups`` asks for: into so many pieces a batch is cut by default.

    A group that grows where ranks are to spare grows to twice its size. To the whole world would be too much: the
    smaller the pieces, the noisier their batch norm and the slower the groups that are not large.
    """
    if groups.sizes:
        return max(groups.sizes)
    return groups.group_size * (1 if groups.resplit == "never" else 2)


def parted(layout: Layout, num_parts: int) -> tuple[Layout, ...]:
    """Parts of the world, as even as whole groups allow.

    Raises:
        SettingError: with the sums, where a part would have no group.
    """
    if num_parts < 1:
        raise SettingError(f"coordinator.count={num_parts} must be 1 or more")
    num_groups = layout.num_groups
    if num_parts > num_groups:
        raise SettingError(
            f"coordinator.count={num_parts}: each coordinator needs a group of its own, and {layout}; use "
            f"coordinator.count={num_groups} or less, more ranks, or smaller groups"
        )
    begins = [*(leader - layout.first for leader in layout.leaders), sum(layout.sizes)]
    cuts = [0]
    for number in range(1, num_parts):
        possible = range(cuts[-1] + 1, num_groups - (num_parts - number) + 1)  # every part has a group
        cuts.append(min(possible, key=lambda cut: abs(begins[cut] * num_parts - number * begins[-1])))
    cuts.append(num_groups)
    return tuple(Layout(layout.sizes[a:b], layout.first + begins[a]) for a, b in itertools.pairwise(cuts))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def fixed(world_size: int, group_size: int, sizes: Sequence[int]) -> Layout:
    """Groups of the sizes given, in their order.

    Raises:
        SettingError: with the sums, where they are not those of the world, or one is less than ``group_size``.
    """
    wanted, sums = sum(sizes), " + ".join(map(str, sizes)) or "nothing"
    if small := [size for size in sizes if size < max(1, group_size)]:
        raise SettingError(
            f"groups.sizes={list(sizes)}: a group of {small[0]} has fewer ranks than groups.group_size={group_size}"
        )
    if wanted != world_size:
        raise SettingError(
            f"groups.sizes={list(sizes)}: {sums} = {_count(wanted, 'rank')}, but the world has {world_size}; "
            f"start {wanted} ranks or name sizes that sum to {world_size}"
            if sizes
            else f"groups.sizes=[] names no group; name sizes that sum to {world_size}, or null"
        )
    return Layout(tuple(sizes))


def split_evenly(world_size: int, group_size: int, remainder: str) -> Layout:
    """As many groups of at least ``group_size`` ranks as fit; left-over ranks are spread over them.

    Args:
        world_size: all ranks, 1 or more.
        group_size: ranks wanted in each group.
        remainder: ``spread`` uses every rank, groups differ by one; ``refuse`` wants an even division.

    Raises:
        SettingError: with the sums, where the world cannot be split so.
    """
    if remainder not in ("spread", "refuse"):
        raise SettingError(f"groups.remainder={remainder!r} is unknown; use spread or refuse")
    if group_size < 1:
        raise SettingError(f"groups.group_size={group_size} must be 1 or more")
    if group_size > world_size:
        raise SettingError(
            f"groups.group_size={group_size} is larger than the world of {_count(world_size, 'rank')}; "
            f"start at least {group_size} ranks or use groups.group_size={world_size} or less"
        )
    num_groups, left_over = divmod(world_size, group_size)
    if left_over and remainder == "refuse":
        fitting = [size for size in range(1, world_size + 1) if world_size % size == 0]
        below = max(size for size in fitting if size <= group_size)
        above = min(size for size in fitting if size >= group_size)
        raise SettingError(
            f"groups.group_size={group_size}: {world_size} ranks = {_count(num_groups, 'group')} x {group_size} + "
            f"{left_over} left over; use groups.group_size={below} or {above}, or groups.remainder=spread"
        )
    base, longer = divmod(world_size, num_groups)
    return Layout(tuple(base + 1 if group < longer else base for group in range(num_groups)))
