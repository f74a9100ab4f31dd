"""What a model-based search takes to think: one ask and tell at 1,000 known points, beside DeepHyper in the same run.

DeepHyper lives in an environment of its own; ``NESTEDGA_PEERS`` names its Python. Its fastest settings that keep its
model and the number of points that it is searched by: no genetic algorithm over these, extra trees as many as ours.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np

from nestedga.population.genes import FloatGene
from nestedga.population.member import Evaluation, Member
from nestedga.population.space import Space
from nestedga.search.model_based.model_based import ModelBased
from tests.benchmarks.page import Limit, Section, spread, table

PEERS_VARIABLE = "NESTEDGA_PEERS"  # the Python of an environment that has the peers which cannot live in ours
KNOWN, DIMENSIONS, PAIRS, WANTED_RATIO = 1_000, 5, 10, 0.5
TREES = (10, 100)  # DeepHyper's default, and scikit-learn's
OPTIMISERS = ("sampling", "mixedga")  # of the acquisition; DeepHyper's fastest and its default


def measure(short: bool) -> Section:
    """Ours and DeepHyper in turn, as often as there are rounds; a round's figure is the median of its pairs."""
    rounds = 2 if short else 7
    peer = os.environ.get(PEERS_VARIABLE, "")
    theirs_too = (
        shutil.which(peer) is not None and subprocess.run([peer, "-c", "import deephyper"], check=False).returncode == 0
    )
    rows, limits = [], []
    for trees in TREES:
        ours, theirs = [], []
        for seed in range(rounds):
            ours.append(milliseconds(trees, seed))
            if theirs_too:
                theirs.append(their_milliseconds(peer, trees, seed, OPTIMISERS[0]))
        rows.append((f"{trees} trees, ours", spread(ours, 1)))
        if not theirs_too:
            continue
        rows.append((f"{trees} trees, DeepHyper, {OPTIMISERS[0]}", spread(theirs, 1)))
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        met = float(np.median(ratios)) <= WANTED_RATIO
        limits.append(Limit(f"{trees} trees: time as a share of DeepHyper's", spread(ratios), f"{WANTED_RATIO}", met))
    if theirs_too:
        default = [their_milliseconds(peer, TREES[0], seed, OPTIMISERS[1]) for seed in range(rounds)]
        rows.append((f"{TREES[0]} trees, DeepHyper, {OPTIMISERS[1]} (its default)", spread(default, 1)))
    absent = f"\n\nDeepHyper was not measured: {PEERS_VARIABLE} names no Python that has it."
    text = f"""{KNOWN} known points of a bowl over {DIMENSIONS} real genes, one more asked and told {PAIRS} times;
{rounds} rounds, median and range of their medians.

{table(("search", "one ask and tell, milliseconds"), rows)}{"" if theirs_too else absent}"""
    return Section("Model-based search beside DeepHyper", "python -m tests.benchmarks model_based", tuple(limits), text)


def _has_deephyper(python: str) -> bool:
    return subprocess.run([python, "-c", "import deephyper"], capture_output=True, check=False).returncode == 0


def milliseconds(trees: int, seed: int) -> float:
    """Ours: the median pair."""
    names = [f"x{i}" for i in range(DIMENSIONS)]
    space = Space(tuple(FloatGene(name, 0.0, 1.0) for name in names))
    search = ModelBased(space, seed=seed, budget=1, evaluations=KNOWN + PAIRS + 1, trees=trees)
    for number, point in enumerate(np.random.default_rng(seed).random((KNOWN, DIMENSIONS)).tolist()):
        member = Member(number, number % 4, 0, dict(zip(names, point, strict=True)), (), (), 1)
        search.adopt(member)
        search.tell(Evaluation(number, bowl(point)))
    seconds = []
    for _ in range(PAIRS + 1):
        began = time.perf_counter()
        (member,) = search.ask(1)
        search.tell(Evaluation(member.id, bowl([float(member.genotype[name]) for name in names])))
        seconds.append(time.perf_counter() - began)
    return 1000.0 * float(np.median(seconds[1:]))  # the first warms up


def bowl(point: list[float]) -> float:
    return sum((x - 0.3) ** 2 for x in point)


def their_milliseconds(python: str, trees: int, seed: int, optimiser: str) -> float:
    """DeepHyper's: the median pair."""
    words = [python, "-c", DEEPHYPER, str(trees), str(seed), optimiser]
    answer = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    if answer.returncode:
        raise RuntimeError(f"DeepHyper failed:\n{answer.stderr[-4000:]}")
    return 1000.0 * float(np.median(json.loads(answer.stdout.splitlines()[-1])[1:]))


DEEPHYPER = f"""
import json, sys, tempfile, time, warnings
import numpy as np
warnings.filterwarnings("ignore")
from deephyper.hpo import CBO, HpProblem
trees, seed, optimiser = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
problem = HpProblem()
names = [f"x{{i}}" for i in range({DIMENSIONS})]
for name in names:
    problem.add_hyperparameter((0.0, 1.0), name)
search = CBO(
    problem, random_state=seed, log_dir=tempfile.mkdtemp(), verbose=0, surrogate_model="ET",
    surrogate_model_kwargs=dict(n_estimators=trees), acq_optimizer=optimiser, checkpoint_history_to_csv=False,
)
bowl = lambda config: -sum((x - 0.3) ** 2 for x in config.values())
points = np.random.default_rng(seed).random(({KNOWN}, {DIMENSIONS})).tolist()
configs = [dict(zip(names, point)) for point in points]
search.tell([(config, bowl(config)) for config in configs])
seconds = []
for _ in range({PAIRS} + 1):
    began = time.perf_counter()
    (config,) = search.ask(1)
    search.tell([(config, bowl(config))])
    seconds.append(time.perf_counter() - began)
print(json.dumps(seconds))
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.model_based")
    parser.add_argument("--short", action="store_true")
    sys.stdout.write(measure(parser.parse_args().short).markdown())


if __name__ == "__main__":
    main()
