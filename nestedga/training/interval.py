"""One interval of one member in plain numbers: which samples go where, which key draws what, how far the lineage is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nestedga.population.keys import SHUFFLE, TRAIN, key
from nestedga.training.data.base import Piece


@dataclass(frozen=True, slots=True)
class Interval:
    """The same on every rank, whatever the number of ranks.

    Attributes:
        seed: of all draws.
        member_id: whose interval.
        num_samples: of the training split.
        batch_size: samples of a step.
        num_pieces: into how many micro-batches a step is cut.
        num_steps: of the interval.
        begin: samples that the lineage has passed before.
    """

    seed: int
    member_id: int
    num_samples: int
    batch_size: int
    num_pieces: int
    num_steps: int
    begin: int

    @property
    def steps_per_epoch(self) -> int:
        return self.num_samples // self.batch_size  # the rest of an epoch's shuffle is left out

    def passed(self, step: int) -> int:
        """Samples that the lineage has passed before a step; what an epoch leaves out is passed at its end.

        Whole numbers, so that a position is exact however the lineage was cut into intervals and batches.
        """
        epochs, steps = divmod(step, self.steps_per_epoch)
        return self.begin + epochs * self.num_samples + steps * self.batch_size

    def epochs(self, step: int) -> float:
        """The same in epochs: what schedules go by."""
        return self.passed(step) / self.num_samples

    def ends_epoch(self, step: int) -> bool:
        return (step + 1) % self.steps_per_epoch == 0

    def key(self, step: int, number: int) -> int:
        """Of the draws for one piece of one step."""
        return key(self.seed, TRAIN, self.member_id, step, number)

    def numbers(self, rank: int, size: int) -> range:
        """Which pieces of every step are one rank's."""
        return range(rank, self.num_pieces, size)

    def pieces(self, rank: int, size: int) -> Iterator[Piece]:
        """One rank's pieces of the whole interval, in order."""
        for step in range(self.num_steps):
            epoch, at = divmod(step, self.steps_per_epoch)
            if at == 0:
                rng = np.random.default_rng(key(self.seed, SHUFFLE, self.member_id, epoch))
                order = rng.permutation(self.num_samples)
            parts = np.array_split(order[at * self.batch_size : (at + 1) * self.batch_size], self.num_pieces)
            for number in self.numbers(rank, size):
                yield Piece(parts[number], self.key(step, number))
