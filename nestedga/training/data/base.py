"""What every data set promises, and the augmentation that image sets share."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from nestedga.errors import SettingError

SPLITS = ("train", "fitness", "test")
Indices = NDArray[np.int64]


class Dataset(Protocol):
    """Three splits of labelled samples: training sees train, breeding sees fitness, the end sees test, once."""

    def size(self, split: str) -> int:
        """Samples in ``train``, ``fitness`` or ``test``."""
        ...

    def batch(self, split: str, indices: Indices) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs, shape (n, ...), and targets, shape (n,), int64, of the samples at ``indices``, shape (n,)."""
        ...

    def augment(self, inputs: torch.Tensor) -> torch.Tensor:
        """Training inputs changed at random, by torch's global generator (seeded anew for every micro-batch)."""
        ...


def split_of(num_train: int, fitness_size: int, seed: int) -> tuple[Indices, Indices]:
    """Shuffled indices (train, fitness) cut from the training samples, the same for every run and member."""
    if not 0 < fitness_size < num_train:
        raise SettingError(
            f"data.fitness_size={fitness_size} must be above 0 and below the {num_train} training samples"
        )
    order = np.random.default_rng(seed).permutation(num_train)
    return np.sort(order[fitness_size:]), np.sort(order[:fitness_size])


def pad_crop_mirror(images: torch.Tensor, pad: int, mirror: bool) -> torch.Tensor:
    """Zero padding, random crop back to size, random mirror; He et al. 2016 (arXiv:1512.03385), section 4.2.

    Args:
        images: shape (n, channels, height, width).
        pad: pixels on each side; 0 leaves the position alone.
        mirror: flip half of the images left to right.
    """
    n, _, height, width = images.shape
    if pad:
        padded = functional.pad(images, (pad, pad, pad, pad))
        rows = torch.randint(2 * pad + 1, (n, 1)) + torch.arange(height)
        columns = torch.randint(2 * pad + 1, (n, 1)) + torch.arange(width)
        images = padded[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    if mirror:
        flipped = torch.rand(n, 1, 1, 1) < 0.5
        images = torch.where(flipped, images.flip(3), images)
    return images.contiguous()
