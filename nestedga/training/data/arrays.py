"""Samples in arrays: what formats of one file or four have in common."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from nestedga.errors import SettingError
from nestedga.training.data.base import Indices, cut_off_test, split_of
from nestedga.training.data.transform import ImageTransform

Array = NDArray[Any]


class Part(NamedTuple):
    """Samples of one origin: inputs and targets, n rows each, and where they are from, for a message."""

    inputs: Array
    targets: Array
    source: str


class Arrays:
    """Three splits; arrays that are mapped from files stay there.

    Args:
        train: cut into train and fitness.
        test: None: cut off ``train`` first.
        fitness_size, test_size: samples; ``test_size`` is None where there is a test part.
        num_classes: targets are whole numbers below it; None: targets are something else.

    Raises:
        SettingError: numbers of samples that do not fit together, targets out of range, inputs or targets of NaN.
    """

    def __init__(
        self, train: Part, test: Part | None, fitness_size: int, test_size: int | None, num_classes: int | None
    ) -> None:
        for part in (train, test):
            if part is not None:
                _check(part, num_classes)
        num_train = len(train.targets)
        rest: Indices = np.arange(num_train)
        if test is None:
            rest, cut = cut_off_test(num_train, test_size, "samples")
            rest = np.sort(rest)
            self._splits = {"test": (train, cut)}
        elif test_size is not None:
            raise SettingError(f"data.test_size={test_size}: there are test samples of their own; use null")
        else:
            if test.inputs.shape[1:] != train.inputs.shape[1:]:
                raise SettingError(
                    f"data: samples of shape {test.inputs.shape[1:]} in {test.source}, and of "
                    f"{train.inputs.shape[1:]} in {train.source}"
                )
            self._splits = {"test": (test, np.arange(len(test.targets)))}
        for split, rows in zip(("train", "fitness"), split_of(len(rest), fitness_size, seed=1), strict=True):
            self._splits[split] = (train, rest[rows])

    def size(self, split: str) -> int:
        return len(self._splits[split][1])

    def batch(self, split: str, indices: Indices) -> tuple[torch.Tensor, torch.Tensor]:
        part, rows = self._splits[split]
        at = rows[indices]
        return torch.from_numpy(part.inputs[at]), torch.from_numpy(part.targets[at])

    def training_inputs(self) -> Array:
        """All of the training split, and nothing of the others: what a normalisation may be measured from."""
        part, rows = self._splits["train"]
        return np.asarray(part.inputs[rows])


def _check(part: Part, num_classes: int | None) -> None:
    if len(part.inputs) != len(part.targets):
        raise SettingError(f"data: {len(part.inputs)} inputs and {len(part.targets)} targets in {part.source}")
    if not len(part.inputs):
        raise SettingError(f"data: there are no samples in {part.source}")
    if num_classes is not None:
        wrong = np.flatnonzero((part.targets < 0) | (part.targets >= num_classes))
        if len(wrong):
            raise SettingError(
                f"data: {len(wrong)} targets in {part.source} are no class from 0 to {num_classes - 1}; the first is "
                f"{part.targets[wrong[0]]}, of sample {wrong[0]}"
            )
    for what, array in (("inputs", part.inputs), ("targets", part.targets)):
        if np.issubdtype(array.dtype, np.floating):
            wrong = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(1))
            if len(wrong):
                raise SettingError(
                    f"data: {what} of {len(wrong)} samples in {part.source} hold NaN or infinity; the first is sample "
                    f"{wrong[0]}"
                )


def measured_transform(images: Array) -> ImageTransform:
    """Normalises to mean 0 and deviation 1 by channel, both measured from images (n, height, width, channels)."""
    by_channel = images.reshape(-1, images.shape[-1])
    if images.dtype == np.uint8:  # counted: fast, and the same bits everywhere
        counts = np.stack([np.bincount(channel, minlength=256) for channel in by_channel.T])
        values = np.arange(256)
        means = counts @ values / len(by_channel)
        deviations = np.sqrt(np.maximum(counts @ values**2 / len(by_channel) - means**2, 0.0))
    else:
        means, deviations = by_channel.mean(0, dtype=np.float64), by_channel.std(0, dtype=np.float64)
    return ImageTransform(means.tolist(), _without_zeros(deviations).tolist())


def standardised(inputs: Array, training_inputs: Array) -> NDArray[np.float32]:
    """Inputs (n, ...) with mean 0 and deviation 1 by feature, both measured from the training inputs."""
    mean, deviation = training_inputs.mean(0, dtype=np.float64), training_inputs.std(0, dtype=np.float64)
    result: NDArray[np.float32] = ((inputs - mean) / _without_zeros(deviation)).astype(np.float32)
    return result


def _without_zeros(deviations: NDArray[np.float64]) -> NDArray[np.float64]:
    """What never varies is left as it is but for its mean."""
    return np.where(deviations > 0.0, deviations, 1.0)


def with_channels(images: Array, source: str) -> Array:
    """Images (n, height, width) or (n, height, width, channels) as the latter."""
    if images.ndim not in (3, 4):
        raise SettingError(f"data: images of shape {images.shape} in {source}; use (n, height, width[, channels])")
    return images[..., None] if images.ndim == 3 else images
