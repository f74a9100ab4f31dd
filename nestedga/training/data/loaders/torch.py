"""``data.loader: torch``. Samples are read and changed by a thread on the CPU, a few pieces ahead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch

from nestedga.training.data.base import Batch, CroppedDataset, Dataset, Piece, Strengths
from nestedga.training.data.loaders.ahead import Ahead
from nestedga.training.data.loaders.checks import check_strengths, counted, read

DEPTH = 4  # pieces that wait at most; more only takes memory


class TorchLoader:
    """Serves any data set, on any device."""

    def __init__(self, dataset: Dataset, device: torch.device) -> None:
        self._dataset, self._device = dataset, device
        self._cropped = dataset if isinstance(dataset, CroppedDataset) else None
        self._transform = getattr(dataset, "transform", None)
        self._ahead: Ahead[Batch] | None = None

    def batches(self, split: str, pieces: Iterable[Piece], strengths: Strengths) -> Iterator[Batch]:
        """As the protocol says; a call ends what the one before has not served yet."""
        check_strengths(self._transform, strengths)
        self.close()
        self._ahead = Ahead((self._make(split, piece, strengths) for piece in pieces), DEPTH)
        return (self._send(batch) for batch in self._ahead)

    def close(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def _make(self, split: str, piece: Piece, strengths: Strengths) -> Batch:
        rng = piece.rng() if self._transform or self._cropped else None
        if self._cropped:
            inputs, targets = self._cropped.cropped(split, piece.indices, rng, strengths)
        else:
            inputs, targets = read(self._dataset, split, piece.indices)
        if self._transform is not None:
            inputs = self._transform(inputs, rng, strengths)
        if self._device.type == "cuda":  # from pinned memory, copies run beside the computation
            inputs, targets = inputs.pin_memory(), targets.pin_memory()
        return Batch(inputs, targets, int(counted(targets).sum()))

    def _send(self, batch: Batch) -> Batch:
        inputs, targets = (t.to(self._device, non_blocking=True) for t in (batch.inputs, batch.targets))
        return Batch(inputs, targets, batch.num_samples)
