"""Images made of noise around one pattern a class: for load tests, with any size and no file."""

from __future__ import annotations

import numpy as np
import torch

from nestedga.training.data.base import Indices, split_of


class Synthetic:
    """Float images, drawn from a fixed seed.

    Args:
        num_samples: of the training part; the test part has a quarter of it.
        fitness_size: samples of the training part held out for the FoM.
        channels, height, width: of an image.
        num_classes: of the targets.
    """

    def __init__(
        self,
        num_samples: int = 2048,
        fitness_size: int = 256,
        channels: int = 3,
        height: int = 32,
        width: int = 32,
        num_classes: int = 10,
    ) -> None:
        rng = np.random.default_rng(0)
        total = num_samples + num_samples // 4
        patterns = rng.standard_normal((num_classes, channels, height, width), dtype=np.float32)
        targets = rng.integers(num_classes, size=total)
        images = rng.standard_normal((total, channels, height, width), dtype=np.float32)
        images += patterns[targets]
        train, fitness = split_of(num_samples, fitness_size, seed=1)
        self._parts = {"train": train, "fitness": fitness, "test": np.arange(num_samples, total)}
        self.num_classes = num_classes
        self._images, self._targets = torch.from_numpy(images), torch.from_numpy(targets)

    def size(self, split: str) -> int:
        return len(self._parts[split])

    def batch(self, split: str, indices: Indices) -> tuple[torch.Tensor, torch.Tensor]:
        at = torch.from_numpy(self._parts[split][indices])
        return self._images[at], self._targets[at]
