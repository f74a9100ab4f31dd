"""How far the same members come apart when 1, 2, 3 or 4 ranks train them, with the pieces of a batch fixed.

Nothing differs but the order in which floating-point numbers are summed. Beside it stands what another seed gives.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.page import Section, table
from tests.conftest import mpirun, run_command

OVERRIDES = ["data.micro_batches=4", "search=random"]
EPOCHS = (1, 2, 5, 10)
RANKS = (1, 2, 3, 4)
MEMBERS = 8
WHAT = ("loss", "accuracy", "weights")


def measure(short: bool) -> Section:
    """All members with every number of ranks."""
    epochs, members = (EPOCHS[:2], 2) if short else (EPOCHS, MEMBERS)
    runs = {ranks: _run(ranks, seed=0, epochs=max(epochs), members=members) for ranks in RANKS}
    other_seed = _run(1, seed=1, epochs=max(epochs), members=members)
    rows = []
    for epoch in epochs:
        noise = np.array([_differences(runs[1], runs[ranks], epoch) for ranks in RANKS[1:]]).max(axis=0)
        by_seed = np.median(_differences(runs[1], other_seed, epoch), axis=0)
        figures = (*np.median(noise, axis=0), *noise.max(axis=0), *by_seed)
        rows.append((str(epoch), *(f"{value:.1e}" for value in figures)))
    text = f"""{members} members (learning rate, momentum and weight decay drawn from the space `sgd`), digits, small
CNN, `data.micro_batches=4`, trained in intervals of one epoch by 1, 2, 3 and 4 ranks. The largest difference from 1
rank over the numbers of ranks: of the loss on the fitness split relative to the loss, of the accuracy (absolute), and
of all weights and statistics (norm of the difference over the norm); the median over members, and the largest. Beside
it the median difference between two seeds, both with 1 rank.

{table(("epochs", *(f"{of}: {what}" for of in ("median", "largest", "seeds") for what in WHAT)), rows)}"""
    return Section("Numbers of ranks", "python -m tests.benchmarks rank_noise", (), text)


def _differences(one: _Trained, other: _Trained, epoch: int) -> NDArray[np.float64]:
    """Of loss, accuracy and weights after some epochs, shape (members, 3)."""
    rows = []
    for before, after in zip(one[epoch], other[epoch], strict=True):
        weights = [np.concatenate([array.ravel() for array in state.values()]) for state in (before[1], after[1])]
        rows.append(
            (
                abs(after[0]["loss"] / before[0]["loss"] - 1.0),
                abs(after[0]["accuracy"] - before[0]["accuracy"]),
                np.linalg.norm(weights[1] - weights[0]) / np.linalg.norm(weights[0]),
            )
        )
    return np.array(rows)


_Trained = dict[int, list[tuple[dict[str, float], dict[str, NDArray[np.float64]]]]]  # by epoch, a pair for each member


def _run(ranks: int, seed: int, epochs: int, members: int) -> _Trained:
    with tempfile.TemporaryDirectory() as folder:
        program = ["-m", "tests.benchmarks.rank_noise", "--train", str(seed), str(epochs), str(members)]
        answer = run_command([*mpirun(ranks), *program], Path(folder), limit=1800)
        if answer.returncode:
            raise RuntimeError(f"{ranks} ranks failed:\n{answer.stdout[-2000:]}\n{answer.stderr[-4000:]}")
        metrics = json.loads((Path(folder) / "metrics.json").read_text())
        return {
            epoch: [(metrics[str(epoch)][i], dict(np.load(f"{folder}/{epoch}_{i}.npz"))) for i in range(members)]
            for epoch in range(1, epochs + 1)
        }


def train(seed: int, epochs: int, members: int) -> None:
    """On every rank of one group; the first writes metrics and weights of each epoch to the working directory."""
    from nestedga.comm.mpi import start_mpi
    from nestedga.job.build import build
    from nestedga.job.configuration import Configuration
    from nestedga.job.genotype import make_configure
    from nestedga.job.plan import make_search
    from nestedga.population.member import Member
    from nestedga.rank.ledger import Ledger
    from nestedga.rank.place import Place
    from nestedga.rank.watchdog import Watchdog
    from nestedga.states.state import State
    from nestedga.training.loop import Trainer
    from nestedga.training.member_settings import MemberSettings

    world = start_mpi(1)
    configuration = Configuration(OVERRIDES)
    settings = configuration.plain()
    place = Place(
        world.Dup(), 0, world.rank, world.size, world.rank, Ledger("train"), Watchdog(1e3, lambda: None, "rank")
    )
    trainer = Trainer(place, build, seed, "epochs", MemberSettings.from_config(settings))
    search = make_search(configuration.settings)
    configure = make_configure(configuration, search.space)
    states: list[State | None] = [None] * members
    metrics: dict[int, list[dict[str, float]]] = {}
    drawn = search.ask(members)
    for epoch in range(1, epochs + 1):
        metrics[epoch] = []
        for i, first in enumerate(drawn):
            member = Member(epoch * 1000 + i, i, epoch, first.genotype, (), (), budget=1)
            child = MemberSettings.from_config(configure(member.genotype))
            states[i] = world.bcast(trainer.train(member, child, states[i]), 0)
            metrics[epoch].append(trainer.measure("fitness"))
            if world.rank == 0:
                arrays = states[i].arrays()
                np.savez(
                    f"{epoch}_{i}.npz",
                    **{
                        name.replace("/", "."): array.astype(float)
                        for name, array in arrays.items()
                        if name.startswith("weights/") and array.dtype.kind == "f"
                    },
                )
    if world.rank == 0:
        Path("metrics.json").write_text(json.dumps(metrics))
    trainer.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.rank_noise")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--train", nargs=3, type=int, metavar=("SEED", "EPOCHS", "MEMBERS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        train(*options.train)
    else:
        print(measure(options.short).markdown())


if __name__ == "__main__":
    main()
