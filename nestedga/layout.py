"""Which world rank sits in which group: sums only, no MPI."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from nestedga.errors import SettingError


@dataclass(frozen=True, slots=True)
class Layout:
    """Groups of consecutive world ranks, so that a group stays on as few nodes as possible.

    Attributes:
        sizes: ranks of each group.
    """

    sizes: tuple[int, ...]

    @property
    def num_groups(self) -> int:
        return len(self.sizes)

    @property
    def groups(self) -> list[tuple[int, ...]]:
        """World ranks of each group, its leader first. A group is named by its leader's world rank."""
        ends = list(itertools.accumulate(self.sizes))
        return [tuple(range(end - size, end)) for size, end in zip(self.sizes, ends, strict=True)]

    @property
    def leaders(self) -> tuple[int, ...]:
        return tuple(ranks[0] for ranks in self.groups)

    def __str__(self) -> str:
        """As in "64 ranks = 8 groups x 8" or "7 ranks = 1 group x 3 + 2 groups x 2"."""
        kinds = sorted(set(self.sizes), reverse=True)
        terms = [f"{_count(self.sizes.count(size), 'group')} x {size}" for size in kinds]
        return f"{_count(sum(self.sizes), 'rank')} = {' + '.join(terms)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


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
