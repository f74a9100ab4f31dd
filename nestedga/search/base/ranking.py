"""Who is better: the order of evaluations, for one objective and for several.

One objective: by figure of merit. Several: non-dominated sorting and crowding distance, Deb et al. 2002, "A fast and
elitist multiobjective genetic algorithm: NSGA-II" (doi:10.1109/4235.996017), section III. Of equal points one has a
crowding distance, as if it were alone, after Fortin and Parizeau 2013, "Revisiting the NSGA-II crowding-distance
computation" (doi:10.1145/2463372.2463456): in the first paper it depends on where a sort happens to put them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import moocore
import numpy as np
from numpy.typing import NDArray

from nestedga.population.member import Evaluation


def ranked(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Best first, failed ones last; ties by id, so that the order never depends on who came in first."""
    by_id = sorted(evaluations, key=lambda e: (not e.ok, e.member_id))
    viable = [e for e in by_id if e.ok]
    order = np.argsort(scores(viable), kind="stable") if viable else ()
    return [viable[i] for i in order] + by_id[len(viable) :]


def scores(evaluations: Sequence[Evaluation]) -> NDArray[np.float64]:
    """A number for each evaluation, shape (n,), smaller is better; all must be OK.

    One objective: the figure of merit itself. Several: the place in NSGA-II's order, 0 and up (crowded comparison:
    first the front, then the less crowded); who is equal in both shares a place.
    """
    if not evaluations[0].objectives:
        return np.array([e.fom for e in evaluations], dtype=np.float64)
    values = np.array([e.values for e in evaluations], dtype=np.float64)
    front = moocore.pareto_rank(values)
    keys = (-crowding_distance(values, front), front)
    order = np.lexsort(keys)
    differs = [key[order[1:]] != key[order[:-1]] for key in keys]
    places = np.zeros(len(values))
    places[order[1:]] = np.cumsum(differs[0] | differs[1])
    return places


def crowding_distance(values: NDArray[np.float64], front: NDArray[np.int_] | None = None) -> NDArray[np.float64]:
    """How far a front's neighbours lie apart around each of its points; infinite at the ends (Deb 2002, III.B).

    Args:
        values: minimised objectives, shape (n, num_objectives).
        front: to which front each point belongs, shape (n,); None: all to one.

    Returns:
        Shape (n,). Of equal points the first stands for all, and the others, which add nothing, have 0.
    """
    front = np.zeros(len(values), dtype=np.int_) if front is None else front
    # Front after front, and sorted within, so that no distance depends on the order; equal points are neighbours.
    first = np.lexsort((*values.T[::-1], front))
    first = first[np.append(True, (values[first[1:]] != values[first[:-1]]).any(axis=1))]
    points, front = values[first], front[first]
    begins = np.flatnonzero(np.append(True, front[1:] != front[:-1]))
    ends = np.append(begins[1:], len(points)) - 1
    distance = np.zeros(len(points))
    for column in points.T:
        order = np.lexsort((column, front))  # by value within each front
        ordered = column[order]
        extent = np.repeat(ordered[ends] - ordered[begins], ends - begins + 1)
        gap = np.zeros(len(points))
        gap[1:-1] = ordered[2:] - ordered[:-2]
        share = np.divide(gap, extent, out=np.zeros(len(points)), where=extent > 0.0)
        share[begins] = share[ends] = np.inf
        distance[order] += share
    distances = np.zeros(len(values))
    distances[first] = distance
    return distances
