"""The Pareto front of a run, kept as its evaluations come in."""

from __future__ import annotations

from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import NDArray


class Front:
    """The members that no other member seen dominates; all objectives are minimised.

    Of members with equal objectives the lowest id stands for all, so that the front does not depend on who came in
    first. With one objective it is the best member alone.

    Args:
        last_counts: the member that came in last is all there is, good or bad.

    Attributes:
        ids: of the members, in the order of their objectives: the best by the first (then the second, ...) leads.
        points: their objectives, shape (len(ids), num_objectives).
        reference: the worst value of each objective that was ever seen, shape (num_objectives,).
    """

    def __init__(self, last_counts: bool = False) -> None:
        self._last_counts = last_counts
        self.ids: list[int] = []
        self.points: NDArray[np.float64]
        self.reference: NDArray[np.float64]

    def add(self, member_id: int, values: Sequence[float]) -> None:
        """Takes in a member's minimised objectives; the cost is linear in the size of the front."""
        if (
            len(values) == 1
            and self.ids
            and not self._last_counts
            and self.points[0, 0] < values[0] <= self.reference[0]
        ):
            return  # the usual case where there is one objective, and nothing changes
        point = np.array(values, dtype=np.float64)
        if not self.ids:
            self.ids, self.points, self.reference = [member_id], point[None], point
            return
        self.reference = np.maximum(self.reference, point)
        if self._last_counts:
            self.ids, self.points = [member_id], point[None]
            return
        no_worse = np.flatnonzero((self.points <= point).all(axis=1))
        if no_worse.size:  # the newcomer is dominated by each of these, or equals the only one
            if (self.points[no_worse[0]] == point).all():
                self.ids[no_worse[0]] = min(self.ids[no_worse[0]], member_id)
            return
        stays = (self.points < point).any(axis=1)
        points = np.concatenate([self.points[stays], point[None]])
        ids = [*(self.ids[i] for i in np.flatnonzero(stays)), member_id]
        order = np.lexsort(points.T[::-1])
        self.ids, self.points = [ids[i] for i in order], points[order]

    def hypervolume(self) -> float:
        """The volume between the front and the reference point: what the front dominates of all that was seen.

        It never falls as members come in. A point with the worst value seen in some objective adds nothing.
        """
        return float(moocore.hypervolume(self.points, ref=self.reference)) if self.ids else 0.0
