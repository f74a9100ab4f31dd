"""What data sets, transforms and loaders promise each other and the training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from nestedga.errors import SettingError

SPLITS = ("train", "fitness", "test")
IGNORED = -100  # the target of a sample that counts nowhere, as torch's cross entropy has it
Indices = NDArray[np.int64]
Strengths = Mapping[str, Any]
"""Section ``data.augment``: how strongly training inputs are changed at random. Live: genes may lie in it."""


class Transform(Protocol):
    """Makes model inputs of stored samples: normalises them and, for training, changes them at random."""

    def __call__(self, inputs: torch.Tensor, rng: np.random.Generator | None, strengths: Strengths) -> torch.Tensor:
        """Float inputs, on the device of the stored ones; without an ``rng`` nothing is changed at random."""
        ...

    def check(self, strengths: Strengths) -> None:
        """Raises SettingError for strengths that it does not know or that cannot be."""
        ...


class Dataset(Protocol):
    """Three splits of samples: training sees train, breeding sees fitness, the end sees test, once.

    A data set without a ``transform`` (the attribute may be missing) stores inputs as the model takes them. One whose
    targets are classes, whole numbers from 0, has ``num_classes``, so that a model with fewer outputs is refused.
    """

    def size(self, split: str) -> int:
        """Samples in ``train``, ``fitness`` or ``test``."""
        ...

    def batch(self, split: str, indices: Indices) -> tuple[torch.Tensor, torch.Tensor]:
        """Stored inputs and targets of the samples at ``indices``; both have as many rows as there are indices."""
        ...


@runtime_checkable
class CroppedDataset(Dataset, Protocol):
    """Images that are decoded whenever they are wanted, in crops drawn for them."""

    def cropped(
        self,
        split: str,
        indices: Indices,
        rng: np.random.Generator | None,
        strengths: Strengths,
        decode: Callable[..., Any] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As ``batch``, in random crops where there is an ``rng``; see ``encoded.py``, also for decoders."""
        ...


@dataclass(frozen=True, slots=True)
class Piece:
    """Samples that go through the model together, on one rank.

    Attributes:
        indices: of the split, shape (n,).
        key: of the random draws that change them; None: they are measured as they are.
    """

    indices: Indices
    key: int | None = None

    def rng(self) -> np.random.Generator | None:
        """Of these draws, from their beginning."""
        return None if self.key is None else np.random.default_rng(self.key)


class Batch(NamedTuple):
    """A piece, ready for the model, on its device.

    Attributes:
        inputs: what the model takes, n rows.
        targets: n rows.
        num_samples: how many of them count; the others have IGNORED for a target.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    num_samples: int


class Loader(Protocol):
    """Serves pieces of one data set to one rank. All loaders give the same samples and the same random changes."""

    def batches(self, split: str, pieces: Iterable[Piece], strengths: Strengths) -> Iterator[Batch]:
        """A batch for each piece, in order; pieces are taken ahead, so that the next batch waits when it is wanted."""
        ...

    def close(self) -> None:
        """Ends its threads."""
        ...


def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """On a device; to a GPU through page-locked memory, so that nobody waits."""
    if device.type == "cuda" and not tensor.is_cuda:
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def split_of(num_train: int, fitness_size: int, seed: int) -> tuple[Indices, Indices]:
    """Shuffled indices (train, fitness) cut from the training samples, the same for every run and member."""
    if type(fitness_size) is not int or not 0 < fitness_size < num_train:
        raise SettingError(
            f"data.fitness_size={fitness_size!r} must be a whole number above 0 and below the {num_train} training "
            "samples"
        )
    order = np.random.default_rng(seed).permutation(num_train)
    return np.sort(order[fitness_size:]), np.sort(order[:fitness_size])


def cut_off_test(num_samples: int, test_size: int | None, what: str) -> tuple[Indices, Indices]:
    """Indices (rest, shuffled; test) where a test split must be cut off, the same for every run and member.

    Args:
        num_samples: of all.
        test_size: of the test split.
        what: samples or images, for a message.
    """
    if type(test_size) is not int or not 0 < test_size < num_samples:
        raise SettingError(
            f"data.test_size={test_size!r} must be a whole number above 0 and below the {num_samples} {what}, for "
            f"there are no test {what} of their own"
        )
    order = np.random.default_rng(0).permutation(num_samples)
    return order[test_size:], np.sort(order[:test_size])
