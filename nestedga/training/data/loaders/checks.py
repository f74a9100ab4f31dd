"""What all loaders ask of strengths and targets."""

from __future__ import annotations

import torch

from nestedga.errors import SettingError
from nestedga.training.data.base import IGNORED, Dataset, Indices, Strengths, Transform


def check_strengths(transform: Transform | None, strengths: Strengths) -> None:
    """Raises SettingError for strengths that are unknown or cannot be."""
    if transform is not None:
        try:
            transform.check(strengths)
        except ValueError as error:  # of a transform of the user's own; a SettingError is one
            raise SettingError(str(error) if isinstance(error, SettingError) else f"data.augment: {error}") from error
    elif strengths:
        raise SettingError(f"data.augment.{next(iter(strengths))}: this data set has no transform; remove data.augment")


def read(dataset: Dataset, split: str, indices: Indices) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of a data set that may be a user's own.

    Raises:
        SettingError: it gives something else than it should.
    """
    samples = dataset.batch(split, indices)
    for what, given in zip(("inputs", "targets"), samples, strict=True):
        if not torch.is_tensor(given):
            raise SettingError(f"data: batch gives {what} of type {type(given).__name__}; make them torch tensors")
        if len(given) != len(indices):
            raise SettingError(
                f"data: batch gives {len(given)} {what} where {len(indices)} {split} samples are asked for"
            )
    return samples


def counted(targets: torch.Tensor) -> torch.Tensor:
    """Which rows have a target, shape (n,), bool."""
    if targets.is_floating_point():
        return torch.ones(len(targets), dtype=torch.bool)
    known = targets != IGNORED
    return known.flatten(1).any(1) if targets.dim() > 1 else known
