"""A group against torch's own DistributedDataParallel, and groups side by side against processes that know of no other.

The same network, data and batch. All contenders are started once and stand still (SIGSTOP) but one, which runs for a
few seconds; then the next, round and round. So a machine whose speed drifts favours nobody. Each writes the time of
every step; a turn's first steps, in which caches fill again, are left out. A group goes through the Trainer that every
run uses; groups side by side are a whole run.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from nestedga.training.tasks.classification import Classification
from tests.benchmarks.page import Limit, Section, spread, table
from tests.conftest import environment, mpirun

BATCH = 64  # global
LEFT_OUT_SECONDS = 0.5  # of each turn
START_SECONDS = 120.0
COMMON = ("optimizer=sgd", "optimizer.lr=0.001", f"data.batch_size={BATCH}")
WORKLOADS = {
    "ResNet-20": ("data=synthetic", "model=resnet20", "data.num_samples=4096", *COMMON),
    "LSTM": ("data=series", "model=lstm", "task=forecasting", *COMMON),
}
# DDP as it comes sends rank 0's batch-norm statistics round before each step; told not to, it may be faster.
OURS, DDP, DDP_WITHOUT_BUFFERS = "ours", "ddp", "ddp_without_buffers"
OURS_ALONE, PLAIN_LOOP = "ours_alone", "plain_loop"
NESTED, TWO_PLAIN_LOOPS = "nested", "two_plain_loops"  # a batch in each of two groups; in each of two processes
PAIRS = (
    (OURS, DDP, "2 ranks against DDP (gloo)", 1.0),
    (OURS, DDP_WITHOUT_BUFFERS, "2 ranks against DDP (gloo), broadcast_buffers=False", 1.0),
    (OURS_ALONE, PLAIN_LOOP, "1 rank against a plain torch loop", 0.98),
    (NESTED, TWO_PLAIN_LOOPS, "a run of 2 groups of 1 rank against 2 processes of their own", 0.98),
)
ALONE_EACH = (NESTED, TWO_PLAIN_LOOPS)
# A run's clock is in its task, which is a classification; and an LSTM has no buffers.
ONLY_RESNET = (*ALONE_EACH, DDP_WITHOUT_BUFFERS)


def measure(short: bool) -> Section:
    """Rounds of turns; the order is reversed from round to round."""
    rounds, seconds = (3, 3.0) if short else (8, 5.0)
    limits, rows = [], []
    for workload in WORKLOADS:
        rates = _rates(workload, rounds, seconds)
        for ours, theirs, what, wanted in PAIRS:
            if ours not in rates or theirs not in rates:
                continue
            ratios = [a / b for a, b in zip(rates[ours], rates[theirs], strict=True)]
            limits.append(
                Limit(f"{workload}: {what}", spread(ratios), f"{wanted:.2f} or more", bool(np.median(ratios) >= wanted))
            )
            by_round = " ".join(f"{r:.2f}" for r in ratios)
            rows.append((workload, what, spread(rates[ours], 0), spread(rates[theirs], 0), by_round))
    text = f"""ResNet-20 on synthetic 32 x 32 colour images, an LSTM on a series; global batch {BATCH}, 1 thread a rank;
{rounds} rounds in which each has the machine to itself for {seconds:g} s while the others are stopped.
The figure is samples/s of ours / theirs, median of the rounds (least to most).

{table(("", "", "ours, samples/s", "theirs, samples/s", "ratio by round"), rows)}"""
    return Section("Data-parallel training", "python -m tests.benchmarks data_parallel", tuple(limits), text)


def _rates(workload: str, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Samples/s of each contender, round by round."""
    pairs = [pair[:2] for pair in PAIRS if workload == "ResNet-20" or not set(pair[:2]) & set(ONLY_RESNET)]
    contenders = list(dict.fromkeys(name for pair in pairs for name in pair))
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        runners = {}
        for name in contenders:
            runners[name] = Runner(name, workload, Path(folder))
            stack.callback(runners[name].end)
        for number in range(rounds):
            for name in contenders if number % 2 == 0 else reversed(contenders):
                rates[name].append(runners[name].turn(seconds))
            print(workload, number, {name: round(rate[-1]) for name, rate in rates.items()}, file=sys.stderr)
    return rates


class Runner:
    """One contender in processes of its own, stopped but in its turns."""

    def __init__(self, name: str, workload: str, folder: Path) -> None:
        self._clocks = [folder / f"{name}.{number}" for number in range(2 if name in ALONE_EACH else 1)]
        roles = [_role(name, workload, clock) for clock in self._clocks]
        commands = [[sys.executable, *role] for role in roles]
        if name == OURS:
            commands = [[*mpirun(2), *roles[0]]]
        elif name in (DDP, DDP_WITHOUT_BUFFERS):
            address = ["--master-addr", "127.0.0.1", "--master-port", str(_free_port())]
            commands = [[sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *address, *roles[0]]]
        elif name == NESTED:
            task = [f"task._target_={Clocked.__module__}.{Clocked.__name__}", f"+task.clock={folder / name}"]
            whole = ["interval.epochs=null", "interval.steps=1000000", "search.population_size=2"]
            commands = [
                [*mpirun(2), "-m", "nestedga", f"run.dir={folder / 'run'}", *WORKLOADS[workload], *task, *whole]
            ]
        self._log = (folder / f"{name}.log").open("w+")
        self._processes = [
            subprocess.Popen(
                command, cwd=folder, env=environment(), stdout=self._log, stderr=self._log, start_new_session=True
            )
            for command in commands
        ]
        deadline = time.monotonic() + START_SECONDS
        while any(len(_steps(clock)) < 10 for clock in self._clocks):  # what is slow the first time is over
            if any(process.poll() is not None for process in self._processes) or time.monotonic() > deadline:
                self._log.seek(0)
                self.end()
                raise RuntimeError(f"{commands} did not start:\n{self._log.read()[-4000:]}")
            time.sleep(0.1)
        self._signal(signal.SIGSTOP)

    def turn(self, seconds: float) -> float:
        """Runs for some seconds: samples/s, of all processes that step by themselves."""
        self._signal(signal.SIGCONT)
        time.sleep(seconds + LEFT_OUT_SECONDS)
        end = time.monotonic()
        self._signal(signal.SIGSTOP)
        rate = 0.0
        for clock in self._clocks:
            steps = _steps(clock)
            steps = steps[(steps > end - seconds) & (steps < end)]
            rate += (len(steps) - 1) * BATCH / (steps[-1] - steps[0])
        return rate

    def end(self) -> None:
        self._signal(signal.SIGKILL)
        for process in self._processes:
            process.wait()

    def _signal(self, number: signal.Signals) -> None:
        """To launchers and all ranks; launchers give ranks process groups and sessions of their own."""
        for started in self._processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                launcher = psutil.Process(started.pid)
                for process in [*launcher.children(recursive=True), launcher]:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.send_signal(number)


def _role(name: str, workload: str, clock: Path) -> list[str]:
    own = ["--role", name, "--workload", workload, "--clock", str(clock)]
    return ["-m", "tests.benchmarks.data_parallel", *own]


def _steps(clock: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Times of all steps so far, shape (n,), seconds of the machine's monotonic clock."""
    content = clock.read_bytes() if clock.exists() else b""
    return np.frombuffer(content[: len(content) // 8 * 8], np.float64)


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


class Clocked(Classification):
    """Writes the time of every step that its member takes, to a file by the member's number among two."""

    def __init__(self, *, clock: str, **settings: Any) -> None:
        super().__init__(**settings)
        self._clock = Clock(f"{clock}.{os.environ['OMPI_COMM_WORLD_RANK']}")

    def loss(self, model: torch.nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if model.training:
            self._clock.beat()
        return super().loss(model, inputs, targets)


def train_ours(workload: str, path: str) -> None:
    """The Trainer of nestedga in one group of all ranks."""
    from nestedga.comm.mpi import start_mpi
    from nestedga.comm.world import World
    from nestedga.job.build import build
    from nestedga.job.configuration import Configuration
    from nestedga.population.member import Member
    from nestedga.rank.ledger import Ledger
    from nestedga.rank.place import Place
    from nestedga.training.loop import Trainer
    from nestedga.training.member_settings import MemberSettings

    comm = start_mpi(1)
    size = comm.Get_size()
    configuration = Configuration(
        [*WORKLOADS[workload], f"groups.group_size={size}", "interval.epochs=null", "interval.steps=1"]
    )
    settings = MemberSettings.from_config(configuration.plain())
    world = World(comm)
    group = world.form([tuple(range(size))])
    clock: Any = Clock(path if world.rank_id == 0 else None)
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


def train_theirs(workload: str, path: str, distributed: bool, **options: Any) -> None:
    """Torch alone: the plain loop of its tutorial, or the same with DDP (and its options) over gloo."""
    from torch import distributed as dist

    from nestedga.job.build import build
    from nestedga.job.configuration import Configuration

    torch.set_num_threads(1)
    settings = Configuration(WORKLOADS[workload]).plain()
    of_the_loop = ("batch_size", "micro_batches", "loader", "augment")
    dataset: Any = build({key: value for key, value in settings["data"].items() if key not in of_the_loop})
    task: Any = build(settings["task"])
    torch.manual_seed(0)
    model: torch.nn.Module = build(settings["model"])
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
            loss = task.loss(model, inputs, targets) / len(targets)
            loss.backward()
            optimizer.step()
            clock.beat()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.data_parallel")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--role", help=argparse.SUPPRESS)
    parser.add_argument("--workload", choices=WORKLOADS, help=argparse.SUPPRESS)
    parser.add_argument("--clock", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role is None:
        print(measure(options.short).markdown())
    elif options.role in (OURS, OURS_ALONE):
        train_ours(options.workload, options.clock)
    else:
        without = {"broadcast_buffers": False} if options.role == DDP_WITHOUT_BUFFERS else {}
        distributed = options.role in (DDP, DDP_WITHOUT_BUFFERS)
        train_theirs(options.workload, options.clock, distributed, **without)


if __name__ == "__main__":
    main()
