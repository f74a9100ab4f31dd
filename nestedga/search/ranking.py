"""Who is better: the order of evaluations, for one objective and for several.

One objective: by figure of merit. Several: non-dominated sorting and crowding distance, Deb et al. 2002, "A fast and
elitist multiobjective genetic algorithm: NSGA-II" (doi:10.1109/4235.996017), section III.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import moocore
import numpy as np
from numpy.typing import NDArray

from nestedga.member import Evaluation


def ranked(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Best first, failed ones last; ties by id, so that the order never depends on who came in first."""
    by_id = sorted(evaluations, key=lambda e: (not e.ok, e.member_id))
    viable = [e for e in by_id if e.ok]
    order = np.argsort(scores(viable), kind="stable") if viable else ()
    return [viable[i] for i in order] + by_id[len(viable) :]


def scores(evaluations: Sequence[Evaluation]) -> NDArray[np.float64]:
    """A number for each evaluation, shape (n,), smaller is better; all must be OK.

    One objective: the figure of merit itself. Several: the place in NSGA-II's order (crowded comparison: first the
    front, then the less crowded), equal places for equal objectives' fronts and crowding.
    """
    values = np.array([e.values for e in evaluations], dtype=np.float64)
    if values.shape[1] == 1:
        return values[:, 0]
    front, distance = moocore.pareto_rank(values), np.zeros(len(values))
    for rank in np.unique(front):
        distance[front == rank] = crowding_distance(values[front == rank])
    keys = np.stack([front, -distance], axis=1)
    places = np.unique(keys, axis=0, return_inverse=True)[1]
    return np.asarray(places, dtype=np.float64).reshape(-1)


def crowding_distance(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far a front's neighbours lie apart around each of its points; infinite at the ends (Deb 2002, III.B).

    Args:
        values: minimised objectives, shape (n, num_objectives).

    Returns:
        Shape (n,).
    """
    distance = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        extent = column[order[-1]] - column[order[0]]
        distance[order[[0, -1]]] = np.inf
        if extent > 0.0:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / extent
    return distance
