"""A group against torch's own DistributedDataParallel: the same network, data and global batch, in turn.

Ours goes through the Trainer that every run uses, one interval of some seconds: building the network, agreeing on
weights and packing the state are inside the measured time. Theirs is the plain loop of torch's tutorial.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.page import Limit, Section, spread, table
from tests.conftest import mpirun, run_command

BATCH = 64  # global
WARM_UP_STEPS = 20
WANTED = 0.95
SETTINGS = ("data=synthetic", "model=resnet20", "optimizer=sgd", f"data.batch_size={BATCH}", "data.num_samples=4096")
# Who trains. DDP as it comes sends rank 0's batch-norm statistics round before each step; told not to, it is faster.
OURS, DDP, DDP_WITHOUT_BUFFERS, OURS_ALONE, PLAIN_LOOP = (
    "ours",
    "ddp",
    "ddp_without_buffers",
    "ours_alone",
    "plain_loop",
)


def measure(short: bool) -> Section:
    """Several rounds, each contender once a round, the order reversed from round to round."""
    rounds, seconds = (2, 2.0) if short else (5, 8.0)
    contenders = [OURS, DDP, DDP_WITHOUT_BUFFERS, OURS_ALONE, PLAIN_LOOP]
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name in contenders if number % 2 == 0 else reversed(contenders):
            rates[name].append(_run(name, seconds))
            print(f"round {number} {name}: {rates[name][-1]:.0f} images/s", file=sys.stderr, flush=True)
    limits, rows = [], []
    for ours, theirs, what in (
        (OURS, DDP, "2 ranks against DDP (gloo)"),
        (OURS, DDP_WITHOUT_BUFFERS, "2 ranks against DDP (gloo), broadcast_buffers=False"),
        (OURS_ALONE, PLAIN_LOOP, "1 rank against a plain torch loop"),
    ):
        ratios = [a / b for a, b in zip(rates[ours], rates[theirs], strict=True)]
        limits.append(Limit(what, spread(ratios), f"{WANTED} or more", bool(np.median(ratios) >= WANTED)))
        rows.append((what, spread(rates[ours], 0), spread(rates[theirs], 0), " ".join(f"{r:.2f}" for r in ratios)))
    text = f"""ResNet-20, synthetic 32 x 32 colour images, global batch {BATCH}, 1 thread a rank; {rounds} rounds of
{seconds:g} s each after {WARM_UP_STEPS} steps to warm up, in turn on the same cores.
The figure is images/s of ours / theirs, median of the rounds (least to most).

{table(("", "ours, images/s", "theirs, images/s", "ratio by round"), rows)}"""
    return Section("Data-parallel training", "python -m tests.benchmarks data_parallel", tuple(limits), text)


def _run(name: str, seconds: float) -> float:
    """One contender in processes of its own: images/s."""
    role = ["-m", "tests.benchmarks.data_parallel", "--role", name, "--seconds", str(seconds)]
    if name == OURS:
        command = [*mpirun(2), *role]
    elif name in (DDP, DDP_WITHOUT_BUFFERS):
        address = ["--master-addr", "127.0.0.1", "--master-port", str(_free_port())]
        command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *address, *role]
    else:
        command = [sys.executable, *role]
    with tempfile.TemporaryDirectory() as folder:
        answer = run_command(command, Path(folder), limit=60 + 20 * seconds)
    if answer.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{answer.stdout[-2000:]}\n{answer.stderr[-4000:]}")
    return float(json.loads(answer.stdout.splitlines()[-1])["images_per_second"])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# The contenders, each in processes of its own


def train_ours(seconds: float) -> float | None:
    """The Trainer of nestedga in one group of all ranks; images/s on world rank 0."""
    from nestedga.comm.groups import split, start_mpi
    from nestedga.comm.layout import split_evenly
    from nestedga.comm.waiting import broadcast
    from nestedga.config import Configuration, build
    from nestedga.ledger import Ledger
    from nestedga.member import Member
    from nestedga.place import Place
    from nestedga.training.loop import Trainer
    from nestedga.watchdog import Watchdog

    world = start_mpi(1)
    size = world.Get_size()
    settings = Configuration(
        [*SETTINGS, f"groups.group_size={size}", "interval.epochs=null", "interval.steps=1"]
    ).plain()
    with split(world, split_evenly(size, size, "refuse")) as groups:
        place = Place(
            comm=groups.training,
            group=0,
            inner_rank=groups.inner_rank,
            inner_size=size,
            node_rank=groups.node_rank,
            ledger=Ledger("initialise"),
            watchdog=Watchdog(600.0, lambda: os._exit(1), f"world rank {groups.world_rank}"),
        )
        trainer = Trainer(place, build, seed=0, unit="steps", settings=settings)

        def interval(number: int, steps: int) -> float:
            member = Member(number, 0, 0, {}, (), (), budget=steps)
            began = time.perf_counter()
            trainer.train(member, settings, None)
            return time.perf_counter() - began

        interval(0, WARM_UP_STEPS)
        steps = max(1, round(seconds / interval(1, WARM_UP_STEPS) * WARM_UP_STEPS))
        steps = broadcast(world, steps, 60.0, "the number of steps")
        took = interval(2, steps)
        trainer.close()
        return steps * BATCH / took if groups.world_rank == 0 else None


def train_theirs(seconds: float, distributed: bool, **options: Any) -> float | None:
    """Torch alone: the plain loop, or the same with DDP (and its options) over gloo; images/s on rank 0."""
    import torch
    from torch import distributed as dist
    from torch.nn import functional

    from nestedga.config import Configuration, build

    torch.set_num_threads(1)
    settings = Configuration(SETTINGS).plain()
    data = {key: value for key, value in settings["data"].items() if key not in ("batch_size", "micro_batches")}
    dataset: Any = build(data)
    torch.manual_seed(0)
    model: torch.nn.Module = build(settings["model"])
    rank, size = 0, 1
    if distributed:
        dist.init_process_group("gloo")
        rank, size = dist.get_rank(), dist.get_world_size()
        model = torch.nn.parallel.DistributedDataParallel(model, **options)
    optimizer: torch.optim.Optimizer = build(settings["optimizer"], model.parameters())
    model.train()
    rng, steps_per_epoch = np.random.default_rng(0), dataset.size("train") // BATCH

    def interval(steps: int) -> float:
        began = time.perf_counter()
        for step in range(steps):
            at = step % steps_per_epoch
            if at == 0:
                order = rng.permutation(dataset.size("train"))
            inputs, targets = dataset.batch("train", np.array_split(order[at * BATCH : (at + 1) * BATCH], size)[rank])
            optimizer.zero_grad()
            loss: Any = functional.cross_entropy(model(dataset.augment(inputs)), targets)
            loss.backward()
            optimizer.step()
        return time.perf_counter() - began

    interval(WARM_UP_STEPS)
    steps = torch.tensor(max(1, round(seconds / interval(WARM_UP_STEPS) * WARM_UP_STEPS)))
    if distributed:
        dist.broadcast(steps, 0)
    took = interval(int(steps))
    if distributed:
        dist.destroy_process_group()
    return int(steps) * BATCH / took if rank == 0 else None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.data_parallel")
    parser.add_argument("--short", action="store_true")
    parser.add_argument(
        "--role", choices=[OURS, DDP, DDP_WITHOUT_BUFFERS, OURS_ALONE, PLAIN_LOOP], help=argparse.SUPPRESS
    )
    parser.add_argument("--seconds", type=float, default=8.0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role is None:
        print(measure(options.short).markdown())
        return
    if options.role in (OURS, OURS_ALONE):
        rate = train_ours(options.seconds)
    else:
        without = {"broadcast_buffers": False} if options.role == DDP_WITHOUT_BUFFERS else {}
        rate = train_theirs(options.seconds, options.role != PLAIN_LOOP, **without)
    if rate is not None:
        print(json.dumps({"images_per_second": rate}), flush=True)


if __name__ == "__main__":
    main()
