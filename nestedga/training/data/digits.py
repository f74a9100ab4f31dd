"""Scikit-learn's 1,797 real handwritten digits: small, real, and inside the package."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits

from nestedga.training.data.base import Indices, split_of
from nestedga.training.data.transform import ImageTransform

TEST_SIZE = 360  # a fifth, drawn once and for all


class Digits:
    """8 x 8 grey images, values in [0, 1] as inputs; 10 classes.

    Args:
        fitness_size: samples held out of training for the FoM.
    """

    num_classes = 10
    transform = ImageTransform(mean=[0.0], deviation=[16.0])

    def __init__(self, fitness_size: int = 297) -> None:
        bunch = load_digits()
        images = torch.tensor(bunch.images, dtype=torch.uint8)[..., None]  # whole numbers from 0 to 16
        targets = torch.tensor(bunch.target, dtype=torch.int64)
        order = np.random.default_rng(0).permutation(len(images))
        rest = order[TEST_SIZE:]
        train, fitness = split_of(len(rest), fitness_size, seed=1)
        parts = {"train": rest[train], "fitness": rest[fitness], "test": order[:TEST_SIZE]}
        self._splits = {split: (images[part], targets[part]) for split, part in parts.items()}

    def size(self, split: str) -> int:
        return len(self._splits[split][1])

    def batch(self, split: str, indices: Indices) -> tuple[torch.Tensor, torch.Tensor]:
        images, targets = self._splits[split]
        at = torch.from_numpy(indices)
        return images[at], targets[at]
