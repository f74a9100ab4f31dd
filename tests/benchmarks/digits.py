"""Population based training beside random search, at equal epochs: 20 members learn to read digits, some seeds."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from tests.benchmarks.page import Limit, Section, spread, table
from tests.benchmarks.runs import run_summary

POPULATION, EPOCHS, INTERVAL = 20, 16, 2  # members; epochs of each; between two exploits


def measure(short: bool) -> Section:
    """Ten seeds; both searches draw their first genotypes from the same space and train 320 epochs in all."""
    epochs, seeds = (2 * INTERVAL, 1) if short else (EPOCHS, 10)
    evolved = [f"search.population_size={POPULATION}", f"search.generations={epochs // INTERVAL}"]
    drawn = ["search=random", f"search.evaluations={POPULATION}", f"interval.epochs={epochs}"]
    bests = np.array([[_best(seed, overrides) for overrides in (evolved, drawn)] for seed in range(seeds)])
    (losses, accuracies), lower = bests.transpose(2, 1, 0), bests[:, 0, 0] <= bests[:, 1, 0]
    (loss, random_loss), (accuracy, random_accuracy) = losses.mean(1), accuracies.mean(1)
    at_least_equal = accuracies[0] >= accuracies[1]
    limits = (
        Limit(
            "loss of PBT's best on the fitness split, mean",
            f"{loss:.4f}; at most equal in {lower.sum()} of {seeds} seeds",
            f"at most {random_loss:.4f}, of the best of {POPULATION} random configurations",
            bool(loss <= random_loss),
        ),
        Limit(
            "test accuracy of PBT's best, mean",
            f"{accuracy:.4f}; at least equal in {at_least_equal.sum()} of {seeds} seeds",
            f"at least {random_accuracy:.4f}, of the best of {POPULATION} random configurations",
            bool(accuracy >= random_accuracy),
        ),
    )
    rows = [(str(seed), *(f"{value:.4f}" for value in row.T.ravel())) for seed, row in enumerate(bests)]
    header = ("seed", *(f"{name}: {what}" for what in ("fitness loss", "test accuracy") for name in ("PBT", "random")))
    text = f"""{POPULATION} members of {epochs} epochs each, {POPULATION * epochs} epochs in all, on 2 groups of one
rank. Who is best is judged by the loss on the fitness split, for by accuracy many are equal there; the test split (360
images: one is 0.0028) is read once, for the best alone. Test accuracy of PBT {spread(accuracies[0], 4)},
of random search {spread(accuracies[1], 4)}.

{table(header, rows)}"""
    return Section("PBT beside random search", "python -m tests.benchmarks digits", limits, text)


def _best(seed: int, overrides: list[str]) -> tuple[float, float]:
    """A run's best member: its loss on the fitness split, its accuracy on the test split."""
    common = ["+experiment=digits_pbt", "groups.group_size=1", "objective.name=loss", "objective.mode=min"]
    with tempfile.TemporaryDirectory() as folder:
        best = run_summary(2, [*common, f"seed={seed}", *overrides], Path(folder), limit=1200)["best"]
    return float(best["fitness_fom"]), float(best["test"]["accuracy"])
