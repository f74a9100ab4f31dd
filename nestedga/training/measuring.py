"""Measuring a model over whole splits of the data."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch.optim.swa_utils import update_bn

from nestedga.errors import MemberFailed
from nestedga.population.keys import RECALIBRATE, key
from nestedga.training.components import Components
from nestedga.training.data.base import Piece, Strengths
from nestedga.training.data_parallel import DataParallel

CHUNK = 64  # samples measured at once; fixed, so that a FoM has the same bits for any number of ranks
RECALIBRATION_SAMPLES = 1024  # ours: the mean of a channel is then known to some per cent of its deviation


class Diverged(MemberFailed):
    """The loss is no number any more."""


def measure(components: Components, parallel: DataParallel, split: str, beat: Callable[[], None]) -> dict[str, float]:
    """The task's metrics; every sample that counts counts once, whatever the number of ranks.

    Args:
        components: whose model and data.
        parallel: the group; every rank together.
        split: of the data.
        beat: called for every chunk.
    """
    size, names = components.dataset.size(split), components.task.metrics
    num_chunks = -(-size // CHUNK)
    mine = range(parallel.rank, num_chunks, parallel.size)
    pieces = (Piece(np.arange(chunk * CHUNK, min((chunk + 1) * CHUNK, size))) for chunk in mine)
    rows, counts = [], []
    components.model.eval()
    with components.measured_weights(), torch.inference_mode(), components.precision.autocast():
        for batch in components.loader.batches(split, pieces, {}):
            measured = components.task.measure(components.forward, components.laid_out(batch.inputs), batch.targets)
            rows.append(torch.stack([measured[name].double() for name in names]))
            counts.append(batch.num_samples)
            beat()
    table = torch.zeros(num_chunks, len(names) + 1, dtype=torch.float64)
    if rows:
        table[list(mine), :-1] = torch.stack(rows).cpu()
        table[list(mine), -1] = torch.tensor(counts, dtype=torch.float64)
    parallel.sum_(table, f"measure {split}")  # each chunk is one rank's, so this sum is exact
    *sums, count = table.sum(0).tolist()
    return {name: total / count if count else math.nan for name, total in zip(names, sums, strict=True)}


def recalibrate(components: Components, seed: int, member_id: int, strengths: Strengths) -> None:
    """Measures batch-norm statistics anew, for weights that never were together in one network.

    As for averaged weights in Izmailov et al. 2018 (arXiv:1803.05407), section 3.2, over a part of the split. Every
    rank does the same, so nothing needs to be agreed.
    """
    rng = np.random.default_rng(key(seed, RECALIBRATE, member_id))
    samples = rng.permutation(components.dataset.size("train"))[:RECALIBRATION_SAMPLES]
    chunks = np.array_split(samples, -(-len(samples) // CHUNK))
    pieces = [Piece(chunk, key(seed, RECALIBRATE, member_id, number)) for number, chunk in enumerate(chunks)]

    def measure_anew() -> None:
        components.seed(key(seed, RECALIBRATE, member_id))
        batches = components.loader.batches("train", pieces, strengths)
        update_bn((components.laid_out(batch.inputs) for batch in batches), components.model, components.device)

    measure_anew()
    if components.average is not None:
        with components.measured_weights():
            measure_anew()
