"""Arrays of one's own, as ``numpy.savez`` writes them."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

from nestedga.errors import SettingError
from nestedga.training.data.arrays import Array, Arrays, Part, measured_transform, standardised, with_channels

KINDS = ("images", "inputs")


class Npz(Arrays):
    """A file with ``images`` or ``inputs``, and ``targets``; test samples in ``test_images`` and so on, or cut off.

    - ``images``: (n, height, width[, channels]), bytes or floats; normalised by channel, changed at random by
      ``data.augment``.
    - ``inputs``: (n, ...); floats are standardised by feature; whole numbers, such as tokens, are taken as they are.
    - ``targets``: (n,) classes, or floats of any shape (n, ...).

    What normalises is measured from the training split alone. Every rank reads the whole file into its memory.

    Args:
        path: of the file.
        fitness_size: samples held out of training for the FoM.
        test_size: samples cut off for the test split; None where the file has a test part.
        num_classes: of whole-numbered ``targets`` (n,); None: the highest of the training part, and one.

    Raises:
        SettingError: the file or an array is missing, damaged, or not what is said above.
    """

    def __init__(
        self, path: str, fitness_size: int, test_size: int | None = None, num_classes: int | None = None
    ) -> None:
        arrays = _read(Path(path).expanduser())
        kinds = [kind for kind in KINDS if kind in arrays]
        if len(kinds) != 1 or "targets" not in arrays:
            raise SettingError(
                f"data.path={path} holds {', '.join(arrays) or 'nothing'}; it must hold targets, and either images or "
                "inputs"
            )
        kind = kinds[0]
        train = _part(arrays, "", kind, path)
        test = _part(arrays, "test_", kind, path) if f"test_{kind}" in arrays else None
        is_class = train.targets.dtype == np.int64 and train.targets.ndim == 1
        if is_class:
            num_classes = num_classes or int(train.targets.max(initial=0)) + 1
        super().__init__(train, test, fitness_size, test_size, num_classes if is_class else None)
        if is_class:
            self.num_classes = num_classes
        if kind == "images":
            self.transform = measured_transform(self.training_inputs())
        elif np.issubdtype(train.inputs.dtype, np.floating):
            measured = self.training_inputs()
            parts = {part.source: part for part, _ in self._splits.values()}  # which splits share
            done = {source: part._replace(inputs=standardised(part.inputs, measured)) for source, part in parts.items()}
            self._splits = {split: (done[part.source], rows) for split, (part, rows) in self._splits.items()}


def _read(path: Path) -> dict[str, Array]:
    try:
        file = np.load(path, allow_pickle=False)  # a pickle could run any program
        if not isinstance(file, NpzFile):
            raise ValueError("it holds one array without a name; use numpy.savez")
        with file:
            return {name: file[name] for name in file.files}
    except (OSError, EOFError, ValueError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error) as error:
        # RuntimeError: members that are encrypted, or packed in a way that this Python does not know
        raise SettingError(f"data.path={path} is missing or no intact .npz file ({error})") from error


def _part(arrays: dict[str, Array], prefix: str, kind: str, path: str) -> Part:
    source = f"{prefix}{kind} of {path}"
    if f"{prefix}targets" not in arrays:
        raise SettingError(f"data.path={path} holds {prefix}{kind} and no {prefix}targets")
    inputs, targets = arrays[f"{prefix}{kind}"], arrays[f"{prefix}targets"]
    for name, array in ((kind, inputs), ("targets", targets)):
        if array.dtype.kind not in "uifb" or not array.ndim:
            raise SettingError(f"data.path={path}: {prefix}{name} are of type {array.dtype}, shape {array.shape}")
    if kind == "images":
        inputs = with_channels(inputs, source)
    if inputs.dtype.kind == "f" or (kind == "images" and inputs.dtype != np.uint8):
        inputs = inputs.astype(np.float32)
    elif kind == "inputs":
        inputs = inputs.astype(np.int64)
    return Part(inputs, targets.astype(np.float32 if targets.dtype.kind == "f" else np.int64), source)
