"""A group against torch's own DistributedDataParallel: the same network, data and global batch.

All contenders are started once and stand still (SIGSTOP) but one, which runs for a few seconds; then the next, round
and round. So a machine whose speed drifts favours nobody. Each writes the time of every step; a turn's first steps,
in which caches fill again, are left out. Ours goes through the Trainer that every run uses.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tests.benchmarks.page import Limit, Section, spread, table
from tests.conftest import environment, mpirun

BATCH = 64  # global
LEFT_OUT_SECONDS = 0.5  # of each turn
START_SECONDS = 120.0
WANTED = 0.95
SETTINGS = ("data=synthetic", "model=resnet20", "optimizer=sgd", f"data.batch_size={BATCH}", "data.num_samples=4096")
# DDP as it comes sends rank 0's batch-norm statistics round before each step; told not to, it may be faster.
OURS, DDP, DDP_WITHOUT_BUFFERS = "ours", "ddp", "ddp_without_buffers"
OURS_ALONE, PLAIN_LOOP = "ours_alone", "plain_loop"
CONTENDERS = (OURS, DDP, DDP_WITHOUT_BUFFERS, OURS_ALONE, PLAIN_LOOP)


def measure(short: bool) -> Section:
    """Rounds of turns; the order is reversed from round to round."""
    rounds, seconds = (3, 3.0) if short else (8, 5.0)
    rates: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    with tempfile.TemporaryDirectory() as folder:
        runners = {name: Runner(name, Path(folder)) for name in CONTENDERS}
        try:
            for number in range(rounds):
                for name in CONTENDERS if number % 2 == 0 else reversed(CONTENDERS):
                    rates[name].append(runners[name].turn(seconds))
                print(f"round {number}:", {name: round(rate[-1]) for name, rate in rates.items()}, file=sys.stderr)
        finally:
            for runner in runners.values():
                runner.end()
    limits, rows = [], []
    for ours, theirs, what in (
        (OURS, DDP, "2 ranks against DDP (gloo)"),
        (OURS, DDP_WITHOUT_BUFFERS, "2 ranks against DDP (gloo), broadcast_buffers=False"),
        (OURS_ALONE, PLAIN_LOOP, "1 rank against a plain torch loop"),
    ):
        ratios = [a / b for a, b in zip(rates[ours], rates[theirs], strict=True)]
        limits.append(Limit(what, spread(ratios), f"{WANTED} or more", bool(np.median(ratios) >= WANTED)))
        rows.append((what, spread(rates[ours], 0), spread(rates[theirs], 0), " ".join(f"{r:.2f}" for r in ratios)))
    text = f"""ResNet-20, synthetic 32 x 32 colour images, global batch {BATCH}, 1 thread a rank; {rounds} rounds in
which each has the machine to itself for {seconds:g} s while the others are stopped.
The figure is images/s of ours / theirs, median of the rounds (least to most).

{table(("", "ours, images/s", "theirs, images/s", "ratio by round"), rows)}"""
    return Section("Data-parallel training", "python -m tests.benchmarks data_parallel", tuple(limits), text)


class Runner:
    """One contender in processes of its own, stopped but in its turns."""

    def __init__(self, name: str, folder: Path) -> None:
        self._clock = folder / name
        role = ["-m", "tests.benchmarks.data_parallel", "--role", name, "--clock", str(self._clock)]
        if name == OURS:
            command = [*mpirun(2), *role]
        elif name in (DDP, DDP_WITHOUT_BUFFERS):
            address = ["--master-addr", "127.0.0.1", "--master-port", str(_free_port())]
            command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *address, *role]
        else:
            command = [sys.executable, *role]
        self._log = (folder / f"{name}.log").open("w+")
        self._process = subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=self._log, stderr=self._log, start_new_session=True
        )
        deadline = time.monotonic() + START_SECONDS
        while len(self._steps()) < 10:  # what is slow the first time is over
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._log.seek(0)
                raise RuntimeError(f"{' '.join(command)} did not start:\n{self._log.read()[-4000:]}")
            time.sleep(0.1)
        self._signal(signal.SIGSTOP)

    def turn(self, seconds: float) -> float:
        """Runs for some seconds: images/s."""
        self._signal(signal.SIGCONT)
        time.sleep(seconds + LEFT_OUT_SECONDS)
        end = time.monotonic()
        self._signal(signal.SIGSTOP)
        steps = self._steps()
        steps = steps[(steps > end - seconds) & (steps < end)]
        return float((len(steps) - 1) * BATCH / (steps[-1] - steps[0]))

    def end(self) -> None:
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _steps(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Times of all steps so far, shape (n,), seconds of the machine's monotonic clock."""
        content = self._clock.read_bytes() if self._clock.exists() else b""
        return np.frombuffer(content[: len(content) // 8 * 8], np.float64)

    def _signal(self, number: signal.Signals) -> None:
        """To the launcher and all ranks; launchers give ranks process groups and sessions of their own."""
        launcher = psutil.Process(self._process.pid)
        for process in [*launcher.children(recursive=True), launcher]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# The contenders, each in processes of its own, until they are killed


class Clock:
    """Writes the time of every step; in the place of a watchdog, which the Trainer tells of every step."""

    def __init__(self, path: str | None) -> None:
        self._file = open(path, "ab", buffering=0) if path else None  # noqa: SIM115

    def beat(self) -> None:
        if self._file:
            self._file.write(np.float64(time.monotonic()).tobytes())


def train_ours(path: str) -> None:
    """The Trainer of nestedga in one group of all ranks."""
    from nestedga.comm.groups import World, start_mpi
    from nestedga.config import Configuration, build
    from nestedga.ledger import Ledger
    from nestedga.member import Member
    from nestedga.place import Place
    from nestedga.training.loop import Trainer

    comm = start_mpi(1)
    size = comm.Get_size()
    settings = Configuration(
        [*SETTINGS, f"groups.group_size={size}", "interval.epochs=null", "interval.steps=1"]
    ).plain()
    world = World(comm)
    group = world.form([tuple(range(size))])
    clock: Any = Clock(path if world.rank == 0 else None)
    place = Place(
        comm=group.training,
        group=0,
        inner_rank=group.inner_rank,
        inner_size=size,
        node_rank=world.node_rank,
        ledger=Ledger("initialise"),
        watchdog=clock,
    )
    trainer = Trainer(place, build, seed=0, unit="steps", settings=settings)
    trainer.train(Member(0, 0, 0, {}, (), (), budget=1_000_000), settings, None)


def train_theirs(path: str, distributed: bool, **options: Any) -> None:
    """Torch alone: the plain loop of its tutorial, or the same with DDP (and its options) over gloo."""
    import torch
    from torch import distributed as dist
    from torch.nn import functional

    from nestedga.config import Configuration, build

    torch.set_num_threads(1)
    settings = Configuration(SETTINGS).plain()
    data = {key: value for key, value in settings["data"].items() if key not in ("batch_size", "micro_batches")}
    dataset: Any = build(data)
    torch.manual_seed(0)
    model: Callable[[torch.Tensor], torch.Tensor] = build(settings["model"])
    rank, size = 0, 1
    if distributed:
        dist.init_process_group("gloo")
        rank, size = dist.get_rank(), dist.get_world_size()
        model = torch.nn.parallel.DistributedDataParallel(model, **options)
    optimizer: torch.optim.Optimizer = build(settings["optimizer"], model.parameters())
    rng, clock = np.random.default_rng(0), Clock(path if rank == 0 else None)
    while True:
        order = rng.permutation(dataset.size("train"))
        for at in range(dataset.size("train") // BATCH):
            inputs, targets = dataset.batch("train", np.array_split(order[at * BATCH : (at + 1) * BATCH], size)[rank])
            optimizer.zero_grad()
            loss: Any = functional.cross_entropy(model(dataset.augment(inputs)), targets)
            loss.backward()
            optimizer.step()
            clock.beat()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.data_parallel")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--role", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--clock", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role is None:
        print(measure(options.short).markdown())
    elif options.role in (OURS, OURS_ALONE):
        train_ours(options.clock)
    else:
        without = {"broadcast_buffers": False} if options.role == DDP_WITHOUT_BUFFERS else {}
        train_theirs(options.clock, options.role != PLAIN_LOOP, **without)


if __name__ == "__main__":
    main()
