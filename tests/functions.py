"""Functions that tests search over. What they give is the same on every rank and at every repetition."""

from __future__ import annotations

import os
import time

import numpy as np


def lineage(x, weights, budget, member_id):
    """The weights are the list of all members that trained them; the FoM depends on gene and ancestry."""
    history = weights["history"] if weights else np.empty(0, np.int64)
    history = np.append(history, member_id)
    return (x - 0.3) ** 2 + 0.001 * (int(history.sum()) % 13), {"history": history}


def bowl(x, weights, budget, member_id):
    """Next to no work, and nothing to inherit."""
    return (x - 0.3) ** 2


def slow_lineage(x, weights, budget, member_id):
    time.sleep(0.05)
    return lineage(x, weights, budget, member_id)


def drawn_seconds(member_id, mean=2.0, sigma=0.5):
    """Log-normal with this mean; the member's own, so the same on all ranks of its group and in any reading."""
    return float(np.random.default_rng([member_id, 2]).lognormal(np.log(mean) - sigma**2 / 2, sigma))


def sleeps(x, weights, budget, member_id):
    """Lasts as long as was drawn for the member."""
    time.sleep(drawn_seconds(member_id))
    return lineage(x, weights, budget, member_id)


def large(x, weights, budget, member_id, megabytes=100):
    """A state of some size, whose content tells who trained it."""
    array = weights["array"].copy() if weights else np.zeros(megabytes * 250_000, np.float32)
    array[member_id] = 1.0
    return x, {"array": array}


def large_two(x, weights, budget, member_id, megabytes=60):
    """A state of some size, and two metrics that pull apart, so that every member is in the Pareto front."""
    _, weights = large(x, weights, budget, member_id, megabytes)
    return {"a": x, "b": -x}, weights


def sometimes_raises(x, weights, budget, member_id):
    if member_id % 3 == 1:
        raise RuntimeError(f"member {member_id} does not like x={x:.2f}")
    return lineage(x, weights, budget, member_id)


def always_raises(x, weights, budget, member_id):
    raise RuntimeError("nobody can live like this")


def not_a_number(x, weights, budget, member_id):
    return float("nan") if member_id % 2 else lineage(x, weights, budget, member_id)


def dies(x, weights, budget, member_id):
    """One rank of the whole job dies without a word."""
    if member_id == 3:
        os.kill(os.getpid(), 9)
    return lineage(x, weights, budget, member_id)


def hangs(x, weights, budget, member_id):
    if member_id == 2:
        time.sleep(3600)
    return lineage(x, weights, budget, member_id)


def two(x, weights, budget, member_id):
    """Two metrics that pull apart, "a" to 0.3 and "b" to 0.6, and depend on ancestry."""
    a, weights = lineage(x, weights, budget, member_id)
    return {"a": a, "b": -((x - 0.6) ** 2)}, weights


def slow_two(x, weights, budget, member_id):
    time.sleep(0.05)
    return two(x, weights, budget, member_id)


def two_or_one(x, weights, budget, member_id):
    """Some members do not report "b", of others it is no number."""
    metrics, weights = two(x, weights, budget, member_id)
    if member_id % 4 == 1:
        del metrics["b"]
    if member_id % 4 == 2:
        metrics["b"] = float("inf")
    return metrics, weights


def two_kinds(kind, x, y, weights, budget, member_id):
    """Only the kind "deep" looks at y; for the other, y must be as configured."""
    fom, weights = lineage(x, weights, budget, member_id)
    if kind == "flat":
        assert y == 0.25, f"y={y} though it is not active"
        return fom + 0.5, weights
    return fom + (y - 0.7) ** 2, weights


def slow_where_x_is_large(x, weights, budget, member_id):
    time.sleep(0.2 * x)
    return lineage(x, weights, budget, member_id)
