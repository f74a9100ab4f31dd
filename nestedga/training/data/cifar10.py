"""CIFAR-10 (Krizhevsky 2009) from a folder in either official format, mapped into memory and shared by all ranks.

``cifar-10-batches-bin`` has records of a label byte and 3,072 pixel bytes. ``cifar-10-batches-py`` has pickles; they
are not executed: their opcodes are walked for the labels, and the pixel block is mapped where it lies in the file.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from nestedga.errors import SettingError
from nestedga.training.data.base import Indices, split_of
from nestedga.training.data.transform import ImageTransform

PER_FILE, PIXELS = 10_000, 3_072
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # of the training images, by channel; white is 1
Part = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # images (10000, 3072), labels (10000,)


class Cifar10:
    """32 x 32 colour images; 10 classes; 50,000 for training and fitness, 10,000 for test.

    Args:
        root: folder that holds ``cifar-10-batches-bin`` or ``cifar-10-batches-py``, or is one of them.
        fitness_size: training images held out for the FoM.

    Raises:
        SettingError: the folder is missing, or a file of it is missing or truncated.
    """

    num_classes = 10

    def __init__(self, root: str, fitness_size: int = 5_000) -> None:
        parts = _open(Path(root).expanduser())
        train, fitness = split_of(5 * PER_FILE, fitness_size, seed=1)
        self._parts = {
            "train": (parts[:5], train),
            "fitness": (parts[:5], fitness),
            "test": (parts[5:], np.arange(PER_FILE)),
        }
        self.transform = ImageTransform([255 * value for value in MEAN], [255 * value for value in DEVIATION])

    def size(self, split: str) -> int:
        return len(self._parts[split][1])

    def batch(self, split: str, indices: Indices) -> tuple[torch.Tensor, torch.Tensor]:
        parts, rows = self._parts[split]
        files, at = np.divmod(rows[indices], PER_FILE)
        images = np.empty((len(indices), PIXELS), np.uint8)
        labels = np.empty(len(indices), np.int64)
        for number in np.unique(files):
            here = files == number
            images[here], labels[here] = parts[number][0][at[here]], parts[number][1][at[here]]
        return torch.from_numpy(images).view(-1, 3, 32, 32).permute(0, 2, 3, 1), torch.from_numpy(labels)


def _open(root: Path) -> list[Part]:
    """Five training parts and the test part."""
    for name, names, reader in (
        (
            "cifar-10-batches-bin",
            [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"],
            _map_binary,
        ),
        ("cifar-10-batches-py", [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"], _map_pickle),
    ):
        for folder in (root / name, root):
            if (folder / names[0]).exists():
                return [_checked(folder / file, reader) for file in names]
    raise SettingError(
        f"data.root={root} holds neither cifar-10-batches-bin nor cifar-10-batches-py; "
        "unpack one of the official archives there or point data.root to it"
    )


def _checked(path: Path, reader: Callable[[Path], Part]) -> Part:
    try:
        images, labels = reader(path)
    except (OSError, ValueError) as error:
        raise SettingError(
            f"data.root: {path} is missing or damaged ({error}); unpack the official archive again"
        ) from error
    if labels.max() > 9:
        raise SettingError(f"data.root: {path} has a label {labels.max()}, beyond 9; unpack the official archive again")
    return images, labels


def _map_binary(path: Path) -> Part:
    size = path.stat().st_size
    if size != PER_FILE * (PIXELS + 1):
        raise ValueError(f"{size} bytes instead of {PER_FILE * (PIXELS + 1)}")
    records = np.memmap(path, np.uint8, "r", shape=(PER_FILE, PIXELS + 1))
    return records[:, 1:], np.array(records[:, 0])


def _map_pickle(path: Path) -> Part:
    """Walks the opcodes: the longest byte string is the pixels, the numbers of the list after "labels" the labels."""
    labels: list[int] = []
    last_string, block_at = "", None
    with open(path, "rb") as file:
        for opcode, argument, _ in pickletools.genops(file):
            if isinstance(argument, str | bytes) and len(argument) == PER_FILE * PIXELS:
                block_at = file.tell() - PER_FILE * PIXELS
            elif isinstance(argument, str | bytes):
                last_string = argument if isinstance(argument, str) else argument.decode("latin-1")
            elif isinstance(argument, int) and opcode.name.startswith("BININT") and last_string == "labels":
                labels.append(argument)
    if block_at is None or len(labels) != PER_FILE:
        raise ValueError(f"no {PER_FILE} images and labels found")
    images = np.memmap(path, np.uint8, "r", offset=block_at, shape=(PER_FILE, PIXELS))
    return images, np.frombuffer(bytes(labels), np.uint8)  # ValueError where one does not fit into a byte
