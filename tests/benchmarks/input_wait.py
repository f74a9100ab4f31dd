"""How long a training step waits for its inputs, by loader; and what the loader takes from the step on the same cores.

One process trains ResNet-20 on images of CIFAR's shape with He et al.'s augmentation, in short turns of each loader and
of a batch that is always the same, round and round. What is waited is the time inside ``next``; the rest of what a
loader costs shows in the steps' rate beside that of the batch that stays.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import numpy as np
import torch
from torch.nn import functional

from nestedga.training.data.base import Batch, Indices, Piece
from nestedga.training.data.loaders import LOADERS, make_loader
from nestedga.training.data.transform import ImageTransform
from nestedga.training.models.resnet import ResNet
from tests.benchmarks.page import Limit, Section, spread, table

BATCH = 64
STRENGTHS = {"pad": 4, "mirror": 0.5}
WARM_UP_STEPS = 5  # of each turn, left out: an interval has hundreds
WANTED = 0.01
STILL = "the same batch"


class Images:
    """Random ones, of CIFAR-10's shape."""

    transform = ImageTransform([127.5] * 3, [73.9] * 3)

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._images = torch.from_numpy(rng.integers(256, size=(4096, 32, 32, 3), dtype=np.uint8))

    def size(self, split: str) -> int:
        return len(self._images)

    def batch(self, split: str, indices: Indices) -> tuple[torch.Tensor, torch.Tensor]:
        at = torch.from_numpy(indices)
        return self._images[at], at % 10


def measure(short: bool) -> Section:
    """Turns of all loaders, the order reversed from round to round."""
    rounds, steps = (2, 10) if short else (8, 40)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, dataset, cpu = ResNet(), Images(), torch.device("cpu")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loaders = {name: make_loader(name, dataset, cpu) for name in LOADERS}
    (still,) = loaders["torch"].batches("train", [Piece(np.arange(BATCH), 0)], STRENGTHS)
    names = [*LOADERS, STILL]
    waits: dict[str, list[float]] = {name: [] for name in names}
    rates: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            pieces = _pieces(number, WARM_UP_STEPS + steps)
            batches = (still for _ in pieces) if name == STILL else loaders[name].batches("train", pieces, STRENGTHS)
            waited, seconds = _turn(model, optimizer, batches)
            waits[name].append(waited / seconds)
            rates[name].append(steps * BATCH / seconds)
        print(f"round {number}:", {name: f"{wait[-1]:.2%}" for name, wait in waits.items()}, file=sys.stderr)
    for loader in loaders.values():
        loader.close()
    limits = tuple(
        Limit(
            f"waiting with data.loader={name}, % of a step",
            spread([100 * wait for wait in waits[name]]),
            "below 1",
            bool(np.median(waits[name]) < WANTED),
        )
        for name in LOADERS
    )
    rows = [
        (name, spread(rates[name], 0), spread([a / b for a, b in zip(rates[name], rates[STILL], strict=True)]))
        for name in names
    ]
    text = f"""ResNet-20, 32 x 32 colour images, batch {BATCH}, pad-crop-mirror, 1 thread;
{rounds} rounds of {steps} steps. Beside the wait: what each loader leaves of the rate of a batch that stays the same.

{table(("inputs", "images/s", "of the same batch"), rows)}"""
    return Section("Input wait", "python -m tests.benchmarks input_wait", limits, text)


def _pieces(seed: int, steps: int) -> Iterator[Piece]:
    rng = np.random.default_rng(seed)
    return (Piece(rng.integers(4096, size=BATCH), step) for step in range(steps))


def _turn(model: ResNet, optimizer: torch.optim.Optimizer, batches: Iterator[Batch]) -> tuple[float, float]:
    """Trains on all batches: (seconds waited for them, seconds in all), both without the warm-up."""
    waited, began, step = 0.0, time.perf_counter(), 0
    while True:
        asked = time.perf_counter()
        batch = next(batches, None)
        if batch is None:
            return waited, asked - began
        waited += time.perf_counter() - asked
        optimizer.zero_grad()
        functional.cross_entropy(model(batch.inputs), batch.targets).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        step += 1
        if step == WARM_UP_STEPS:
            waited, began = 0.0, time.perf_counter()
