"""The idx files of MNIST (LeCun et al. 1998) and of what was made in its form, such as Fashion-MNIST and KMNIST.

A file begins with two zero bytes, the type (8: unsigned bytes) and the number of dimensions; then each dimension as
four bytes, the highest first; then the values. Files may be packed by gzip; those that are not are mapped into memory
and shared by all ranks.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nestedga.errors import SettingError
from nestedga.training.data.arrays import Arrays, Part, measured_transform, with_channels

UNSIGNED_BYTES = 8


class Idx(Arrays):
    """Grey images, normalised by what the training split measures.

    Args:
        root: folder with ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte`` and the same of ``t10k``, packed
            (``.gz``) or not.
        fitness_size: training images held out for the FoM.
        num_classes: of the labels.

    Raises:
        SettingError: a file is missing or damaged, or a label out of range.
    """

    def __init__(self, root: str, fitness_size: int, num_classes: int = 10) -> None:
        folder = Path(root).expanduser()
        train, test = (_part(folder, name) for name in ("train", "t10k"))
        super().__init__(train, test, fitness_size, None, num_classes)
        self.num_classes = num_classes
        self.transform = measured_transform(self.training_inputs())


def _part(folder: Path, name: str) -> Part:
    images, labels = _find(folder, f"{name}-images", 3), _find(folder, f"{name}-labels", 1)
    targets = read_idx(labels, 1).astype(np.int64)
    return Part(with_channels(read_idx(images, 3), str(images)), targets, f"{images} and {labels.name}")


def _find(folder: Path, name: str, num_dimensions: int) -> Path:
    for separator in ("-", "."):  # both are about
        for suffix in ("", ".gz"):
            path = folder / f"{name}{separator}idx{num_dimensions}-ubyte{suffix}"
            if path.is_file():
                return path
    raise SettingError(f"data.root={folder} holds no {name}-idx{num_dimensions}-ubyte, packed (.gz) or not")


def read_idx(path: Path, num_dimensions: int) -> NDArray[np.uint8]:
    """The array of a file, of any shape with so many dimensions.

    Raises:
        SettingError: the file is no such file, or not whole.
    """
    try:
        content: NDArray[np.uint8]
        if path.suffix == ".gz":
            content = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8)
        else:
            content = np.memmap(path, np.uint8, "r")
        size = 4 + 4 * num_dimensions
        magic = bytes(content[:4])
        if magic != bytes((0, 0, UNSIGNED_BYTES, num_dimensions)):
            raise ValueError(f"it begins with {magic.hex()} and not with 0000080{num_dimensions}")
        shape = np.frombuffer(bytes(content[4:size]), ">u4").tolist()
        if len(shape) < num_dimensions or len(content) - size != np.prod(shape, dtype=object):
            raise ValueError(f"{max(len(content) - size, 0)} bytes of values for dimensions {shape}")
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise SettingError(f"data.root: {path} is damaged ({error}); fetch it again") from error
    return content[size:].reshape(shape)
