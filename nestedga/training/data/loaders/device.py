"""``data.loader: device``. Small data sets are kept on the device and changed there, several pieces at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from nestedga.errors import SettingError
from nestedga.training.data.base import SPLITS, Batch, CroppedDataset, Dataset, Indices, Piece, Strengths, sent
from nestedga.training.data.loaders.ahead import Ahead
from nestedga.training.data.loaders.checks import check_strengths, counted, read
from nestedga.training.data.transform import Draws, apply, lies_in_draws

GROUP_PIECES, GROUP_BYTES = 16, 8 << 20  # changed at once, at most: enough to keep a GPU busy, stored bytes
READ_AT_ONCE = 1024  # samples
SHARE = 0.5  # of the memory that is free; the model needs some, too


class _Kept(NamedTuple):
    """A split: all its stored inputs and targets on the device, and which rows count."""

    inputs: torch.Tensor
    targets: torch.Tensor
    counts: NDArray[np.bool_]


class _Group(NamedTuple):
    """Pieces that are made together; draws where the transform has them apart from their application."""

    pieces: list[Piece]
    draws: Draws | None


class DeviceLoader:
    """Serves data sets that fit, on any device; a split is brought there when it is first asked for.

    Raises:
        SettingError: the data set does not fit, or is of encoded images.
    """

    def __init__(self, dataset: Dataset, device: torch.device) -> None:
        if isinstance(dataset, CroppedDataset):
            raise SettingError(
                "data.loader=device cannot keep images that are decoded for every crop; use torch or dali"
            )
        self._dataset, self._device = dataset, device
        self._transform = getattr(dataset, "transform", None)
        self._kept: dict[str, _Kept] = {}
        self._ahead: Ahead[_Group] | None = None
        inputs, targets = read(dataset, "train", np.arange(1))
        self._sample_bytes = inputs.nbytes + targets.nbytes
        self._check_room()

    def batches(self, split: str, pieces: Iterable[Piece], strengths: Strengths) -> Iterator[Batch]:
        """As the protocol says; a call ends what the one before has not served yet."""
        check_strengths(self._transform, strengths)
        self._end_thread()
        if split not in self._kept:
            self._kept[split] = self._bring(split)
        kept = self._kept[split]
        self._ahead = Ahead(self._groups(pieces, kept.inputs.shape[1:], strengths), depth=2)
        return (batch for group in self._ahead for batch in self._make(kept, group, strengths))

    def close(self) -> None:
        self._end_thread()
        self._kept.clear()

    def _end_thread(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def _check_room(self) -> None:
        sizes = {split: self._dataset.size(split) for split in SPLITS}
        needed, free = sum(sizes.values()) * self._sample_bytes, _free_bytes(self._device)
        if needed > SHARE * free:
            sums = " + ".join(f"{size} {split}" for split, size in sizes.items())
            raise SettingError(
                f"data.loader=device: ({sums}) samples x {self._sample_bytes} bytes = {needed / 1e6:.0f} MB, above "
                f"{SHARE:.0%} of the {free / 1e6:.0f} MB that are free on {self._device}; use torch or dali"
            )

    def _bring(self, split: str) -> _Kept:
        size = self._dataset.size(split)
        parts = np.array_split(np.arange(size), -(-size // READ_AT_ONCE))
        everything: list[torch.Tensor] = []
        counts = np.empty(size, np.bool_)
        for part in parts:
            samples = read(self._dataset, split, part)
            if not everything:
                everything = [self._room_for(size, tensor) for tensor in samples]
            for whole, tensor in zip(everything, samples, strict=True):
                whole[part[0] : part[-1] + 1].copy_(tensor)
            counts[part] = counted(samples[1]).numpy()
        return _Kept(everything[0], everything[1], counts)

    def _room_for(self, size: int, like: torch.Tensor) -> torch.Tensor:
        try:
            return torch.empty((size, *like.shape[1:]), dtype=like.dtype, device=self._device)
        except torch.cuda.OutOfMemoryError as error:  # ranks that share a GPU have all seen it free
            raise SettingError(f"data.loader=device: {self._device} is full; use torch or dali") from error

    def _groups(self, pieces: Iterable[Piece], shape: torch.Size, strengths: Strengths) -> Iterator[_Group]:
        """In the thread: draws take longer than the launch of what they are for."""
        group: list[Piece] = []
        num_bytes = 0
        for piece in pieces:
            more = len(piece.indices) * self._sample_bytes
            if group and (len(group) == GROUP_PIECES or num_bytes + more > GROUP_BYTES):
                yield self._drawn(group, shape, strengths)
                group, num_bytes = [], 0
            group.append(piece)
            num_bytes += more
        if group:
            yield self._drawn(group, shape, strengths)

    def _drawn(self, pieces: list[Piece], shape: torch.Size, strengths: Strengths) -> _Group:
        transform = self._transform
        if not lies_in_draws(transform):
            return _Group(pieces, None)
        height, width = shape[:2]
        draws = [transform.draws(piece.rng(), len(piece.indices), height, width, strengths) for piece in pieces]
        return _Group(pieces, Draws.join(draws))

    def _make(self, kept: _Kept, group: _Group, strengths: Strengths) -> Iterator[Batch]:
        indices: Indices = np.concatenate([piece.indices for piece in group.pieces])
        at = sent(torch.from_numpy(indices), self._device)
        inputs, targets = kept.inputs[at], kept.targets[at]
        if group.draws is not None:
            inputs = apply(inputs, group.draws)
        begin = 0
        for piece in group.pieces:
            mine = slice(begin, begin + len(piece.indices))
            begin = mine.stop
            own = inputs[mine]
            if self._transform is not None and group.draws is None:
                own = self._transform(own, piece.rng(), strengths)
            yield Batch(own, targets[mine], int(kept.counts[piece.indices].sum()))


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    # Not SC_AVPHYS_PAGES, which leaves out what the system would give back of its file cache.
    sizes = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(sizes["MemAvailable"].removesuffix("kB")) * 1024
