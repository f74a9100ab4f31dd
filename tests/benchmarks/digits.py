"""Population based training beside random search, at equal epochs: 20 members learn to read digits, some seeds."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from tests.benchmarks.page import Limit, Section, spread, table
from tests.benchmarks.runs import run_summary

POPULATION, EPOCHS, INTERVAL = 20, 16, 2  # members; epochs of each; between two exploits


def measure(short: bool) -> Section:
    """Five seeds; both searches draw their first genotypes from the same space and train 320 epochs in all."""
    epochs, seeds = (2 * INTERVAL, 1) if short else (EPOCHS, 5)
    evolved = [f"search.population_size={POPULATION}", f"search.generations={epochs // INTERVAL}"]
    drawn = ["search=random", f"search.evaluations={POPULATION}", f"interval.epochs={epochs}"]
    rows, accuracies = [], []
    for seed in range(seeds):
        pair = [_best(seed, evolved), _best(seed, drawn)]
        accuracies.append([test for _, test in pair])
        rows.append((str(seed), *(f"{accuracy:.4f}" for best in pair for accuracy in best)))
    pbt, random = np.mean(accuracies, axis=0)
    wins = sum(one >= other for one, other in accuracies)
    limit = Limit(
        f"test accuracy of PBT, mean of {seeds} seeds",
        f"{pbt:.4f}; at least equal in {wins} of {seeds} seeds",
        f"{random:.4f} (the best of {POPULATION} random configurations) or more",
        pbt >= random,
    )
    text = f"""{POPULATION} members of {epochs} epochs each, {POPULATION * epochs} epochs in all,
on 2 groups of one rank.
Who is best is judged on the fitness split; the test split is read once, for it alone. Test accuracy of PBT
{spread([one for one, _ in accuracies], 4)}, of random search {spread([other for _, other in accuracies], 4)}.

{table(("seed", "PBT: fitness", "PBT: test", "random: fitness", "random: test"), rows)}"""
    return Section("PBT beside random search", "python -m tests.benchmarks digits", (limit,), text)


def _best(seed: int, overrides: list[str]) -> tuple[float, float]:
    """Accuracy of a run's best member on the fitness split and on the test split."""
    common = ["+experiment=digits_pbt", "groups.group_size=1", f"seed={seed}"]
    with tempfile.TemporaryDirectory() as folder:
        best = run_summary(2, [*common, *overrides], Path(folder), limit=1200)["best"]
    return float(best["fitness_fom"]), float(best["test"]["accuracy"])
