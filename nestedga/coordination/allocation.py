"""How many ranks each of the members that wait gets: sums only, no MPI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nestedga.errors import SettingError
from nestedga.protocol.layout import GroupsConfig, split_evenly
from nestedga.search.evolution.selection import linear_rank_fitness

RESPLIT = ("never", "spare", "fitness")
PRESSURE = 2.0  # Baker's highest: of the ranks to spare the best member gets twice the mean, the worst none


@dataclass(frozen=True, slots=True)
class Allocation:
    """Shares idle ranks among members that wait.

    Attributes:
        group_size: ranks that a group has at least.
        largest: ranks that a group has a use for, ``group_size`` or more; None: for any number.
        by_fitness: ranks to spare go to the members of the best parents; else evenly to all.
    """

    group_size: int
    largest: int | None
    by_fitness: bool

    @classmethod
    def from_config(cls, groups: GroupsConfig, largest: int | None) -> Allocation | None:
        """The rule that the section ``groups`` names; None where groups stay as they are.

        Args:
            groups: the section.
            largest: ranks that a group has a use for, which is ``data.micro_batches``; None: any number.

        Raises:
            SettingError: the rule is unknown, or no group could ever grow.
        """
        group_size, resplit = groups.group_size, groups.resplit
        if resplit not in RESPLIT:
            raise SettingError(f"groups.resplit={resplit!r} is unknown; use {', '.join(RESPLIT[:-1])} or {RESPLIT[-1]}")
        if resplit == "never":
            return None
        if largest is not None and largest <= group_size:
            raise SettingError(
                f"groups.resplit={resplit}: with data.micro_batches={largest} a group of more than {group_size} ranks "
                f"has some without a share; use more pieces, such as data.micro_batches={2 * group_size}, or "
                "groups.resplit=never"
            )
        return cls(group_size, largest, by_fitness=resplit == "fitness")

    def num_groups(self, num_ranks: int) -> int:
        """How many groups these ranks can form."""
        return num_ranks // self.group_size

    def sizes(self, promises: Sequence[float], num_ranks: int) -> tuple[int, ...]:
        """Sizes of the groups that all these ranks form, largest first.

        As many groups as members wait, or as can be formed. What nobody has a use for forms groups that stay idle;
        where it is too little for one, it joins the others.

        Args:
            promises: of the members that wait, one or more, least (best) first.
            num_ranks: idle ones, ``group_size`` or more.
        """
        num_members = min(len(promises), self.num_groups(num_ranks))
        spare = num_ranks - num_members * self.group_size
        even = np.ones(num_members)
        weights = linear_rank_fitness(np.array(promises[:num_members]), PRESSURE) if self.by_fitness else even
        most = spare if self.largest is None else self.largest - self.group_size
        shares = self.group_size + apportion(weights, spare, most)
        left_over = num_ranks - int(shares.sum())
        idle: tuple[int, ...] = ()
        if left_over >= self.group_size:
            idle = split_evenly(left_over, self.group_size, "spread").sizes
        else:
            shares += apportion(even, left_over, left_over)
        return tuple(sorted((*shares.tolist(), *idle), reverse=True))


def apportion(weights: NDArray[np.float64], total: int, most: int) -> NDArray[np.int_]:
    """Whole shares in proportion to weights by largest remainder (Hamilton's method), shape (n,).

    They sum to ``total``, or to ``n * most`` where that is less.

    Args:
        weights: largest first, 0 or more, shape (n,); between equal remainders the first wins.
        total: to be shared.
        most: of one share; what is above it goes to the others.
    """
    shares = np.full(len(weights), most)
    num_full = 0
    while (rest := total - num_full * most) > 0 and num_full < len(weights):
        shares[num_full:] = _largest_remainder(weights[num_full:], rest)
        above = int((shares > most).sum())
        if not above:
            return shares
        shares[num_full : num_full + above] = most  # larger weights come first, and so do larger shares
        num_full += above
    shares[num_full:] = 0
    return shares


def _largest_remainder(weights: NDArray[np.float64], total: int) -> NDArray[np.int_]:
    if not weights.any():
        weights = np.ones_like(weights)
    quotas = total * weights / weights.sum()
    shares: NDArray[np.int_] = quotas.astype(np.int_)
    order = np.argsort(shares - quotas, kind="stable")
    shares[order[: total - shares.sum()]] += 1
    return shares
