"""``data.loader: dali``. NVIDIA DALI changes images on its own threads, or on the GPU that trains.

The pipeline is one for all strengths: what was drawn for each image is fed beside it, so nothing is built anew when
strengths change, and inputs equal those of the other loaders up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.dlpack import from_dlpack

from nestedga.errors import SettingError
from nestedga.training.data.base import Batch, CroppedDataset, Dataset, Piece, Strengths, sent
from nestedga.training.data.loaders.ahead import Ahead
from nestedga.training.data.loaders.checks import check_strengths, counted, read
from nestedga.training.data.transform import lies_in_draws

try:
    from nvidia.dali import fn, types

    from nestedga.training.data.loaders.dali_decode import DaliDecoder, empty_pipeline
except ImportError as error:
    raise SettingError(
        f"data.loader=dali, and NVIDIA DALI is not installed here ({error}); pip install nvidia-dali-cuda130 (or "
        "nvidia-dali-cuda120), or use data.loader=torch"
    ) from error

DEPTH = 4  # pieces that wait at most; more only takes memory
# What coord_transform takes: dali/operators/geometry/coord_transform.h
MOST_CHANNELS, TYPES = 6, (torch.uint8, torch.int16, torch.int32, torch.float32)


class DaliLoader:
    """Serves data sets whose transform is an ``ImageTransform``, with images of at most ``MOST_CHANNELS``.

    Raises:
        SettingError: the data set is of another kind.
    """

    def __init__(self, dataset: Dataset, device: torch.device) -> None:
        transform = getattr(dataset, "transform", None)
        if not lies_in_draws(transform):
            raise SettingError(
                "data.loader=dali serves images, by an ImageTransform without a __call__ of its own, and this data set "
                "has others; use data.loader=torch"
            )
        if not isinstance(dataset, CroppedDataset):  # those are bytes, in colour
            images, _ = read(dataset, "train", np.arange(1))
            if images.shape[-1] > MOST_CHANNELS or images.dtype not in TYPES:
                raise SettingError(
                    f"data.loader=dali serves images of at most {MOST_CHANNELS} channels, in uint8, int16, int32 or "
                    f"float32, and these have {images.shape[-1]}, in {str(images.dtype).removeprefix('torch.')}; use "
                    "data.loader=torch"
                )
        self._dataset, self._device, self._transform = dataset, device, transform
        self._decode = DaliDecoder(device)
        self._pipeline: Any = None
        self._stream: torch.cuda.Stream | None = None
        self._ahead: Ahead[Batch] | None = None

    def batches(self, split: str, pieces: Iterable[Piece], strengths: Strengths) -> Iterator[Batch]:
        """As the protocol says; a call ends what the one before has not served yet."""
        check_strengths(self._transform, strengths)
        self._end_thread()
        self._stream = torch.cuda.current_stream(self._device) if self._device.type == "cuda" else None
        self._ahead = Ahead(self._make(split, pieces, strengths), DEPTH)
        return (self._send(batch) for batch in self._ahead)

    def close(self) -> None:
        self._end_thread()
        self._pipeline = None

    def _end_thread(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def _make(self, split: str, pieces: Iterable[Piece], strengths: Strengths) -> Iterator[Batch]:
        """In the thread: reads a piece while the pipeline is at the one before."""
        if self._device.type == "cuda":
            torch.cuda.set_device(self._device)  # each thread has its own
        before: torch.Tensor | None = None  # the targets of that one
        try:
            for piece in pieces:
                rng = piece.rng()
                if isinstance(self._dataset, CroppedDataset):
                    images, targets = self._dataset.cropped(split, piece.indices, rng, strengths, self._decode)
                else:
                    images, targets = read(self._dataset, split, piece.indices)
                if before is not None:
                    yield self._take(before)
                if self._pipeline is None or len(images) > self._pipeline.max_batch_size:
                    self._pipeline = self._build(images)
                self._feed(images, rng, strengths)
                before = targets
            if before is not None:
                yield self._take(before)
        except BaseException:  # failed or given up: what is in the pipeline is nobody's
            self._pipeline = None
            raise

    def _build(self, images: torch.Tensor) -> Any:
        """A pipeline for batches of as many images as these, or fewer, of their shape."""
        n, height, width, _ = images.shape
        on_gpu = self._device.type == "cuda"
        pipeline = empty_pipeline(self._device, n)
        with pipeline:
            stored_images = fn.external_source(name="images", layout="HWC", device="gpu" if images.is_cuda else "cpu")
            colours = fn.coord_transform(
                stored_images.gpu() if on_gpu else stored_images,
                M=fn.external_source(name="matrix"),
                T=fn.external_source(name="offset"),
                dtype=types.FLOAT,
            )
            windows = fn.slice(
                fn.reshape(colours, layout="HWC"),
                start=fn.external_source(name="shift"),
                shape=(height, width),
                axis_names="HW",
                out_of_bounds_policy="pad",
            )
            planes = fn.crop_mirror_normalize(windows, mirror=fn.external_source(name="mirror"), dtype=types.FLOAT)
            inputs = fn.erase(
                planes,
                anchor=fn.external_source(name="corner"),
                shape=fn.external_source(name="extent"),
                axis_names="HW",
            )
            pipeline.set_outputs(inputs)
        pipeline.build()
        return pipeline

    def _feed(self, images: torch.Tensor, rng: np.random.Generator | None, strengths: Strengths) -> None:
        n, height, width, _ = images.shape
        draws = self._transform.draws(rng, n, height, width, strengths)
        box = draws.box.astype(np.float32)
        for name, array in (
            ("images", images if images.is_cuda else images.contiguous().numpy()),  # decoded ones are contiguous
            ("matrix", draws.matrix),
            ("offset", draws.offset),
            ("shift", draws.shift.astype(np.int32)),
            ("mirror", draws.mirror.astype(np.int32)),
            ("corner", np.ascontiguousarray(box[:, :2])),
            ("extent", box[:, 2:] - box[:, :2]),
        ):
            self._pipeline.feed_input(name, array)
        self._pipeline.schedule_run()

    def _take(self, targets: torch.Tensor) -> Batch:
        # The stream that uses the inputs waits for them; their memory is the pipeline's again when nobody holds it.
        with torch.cuda.stream(self._stream):
            (outputs,) = self._pipeline.outputs(cuda_stream=self._stream)
            inputs = from_dlpack(outputs.as_tensor())
        return Batch(inputs, targets, int(counted(targets).sum()))

    def _send(self, batch: Batch) -> Batch:
        return Batch(batch.inputs, sent(batch.targets, self._device), batch.num_samples)
