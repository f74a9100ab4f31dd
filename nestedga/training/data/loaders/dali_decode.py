"""Decoding by DALI, in the crops that the data set has drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from nvidia.dali import fn, types
from nvidia.dali.pipeline import Pipeline
from torch.utils.dlpack import from_dlpack

from nestedga.training.data.base import Indices
from nestedga.training.data.encoded import Encoded, decode_with_pillow

ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB\x60\x82"}  # of a file that is whole


class DaliDecoder:
    """A ``Decoder`` that works on many images at once; on a GPU, most of the work is done there.

    Whole JPEG and PNG files of 8 bits, in colour or grey, go to DALI. Others go to Pillow: DALI fills in what is
    missing of a file, and a pipeline that has failed cannot be used again. So do those that DALI fails at.

    Args:
        device: where the pixels are wanted.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pipeline: Any = None
        self._built = (0, 0)  # side, and images at once at most

    def __call__(
        self, images: Sequence[Encoded], boxes: Indices, side: int
    ) -> tuple[torch.Tensor, Mapping[int, Exception]]:
        plain = np.array([row for row, image in enumerate(images) if _is_plain(image)], np.int64)
        pixels = self._decode([images[row].data for row in plain], boxes[plain], side)
        if pixels is None:
            plain, pixels = plain[:0], torch.empty((0, side, side, 3), dtype=torch.uint8, device=self._device)
        if len(plain) == len(images):
            return pixels, {}
        others = np.setdiff1d(np.arange(len(images)), plain)
        found, errors = decode_with_pillow([images[row] for row in others], boxes[others], side)
        order = torch.from_numpy(np.argsort(np.concatenate([plain, others]))).to(self._device)
        joined = torch.cat([pixels, found.to(self._device)])[order]
        return joined, {int(others[at]): error for at, error in errors.items()}

    def _decode(self, data: Sequence[bytes], boxes: Indices, side: int) -> torch.Tensor | None:
        """None: there is nothing to decode, or one of the images cannot be decoded."""
        if not data:
            return None
        if self._pipeline is None or self._built[0] != side or self._built[1] < len(data):
            self._pipeline, self._built = self._build(side, len(data)), (side, len(data))
        self._pipeline.feed_input("encoded", [np.frombuffer(one, np.uint8) for one in data])
        self._pipeline.feed_input("start", boxes[:, :2].astype(np.int32))
        self._pipeline.feed_input("shape", boxes[:, 2:].astype(np.int32))
        try:
            (pixels,) = self._pipeline.run()
        except RuntimeError:
            self._pipeline = None
            return None
        return from_dlpack(pixels.as_tensor()).clone()  # the memory is the pipeline's

    def _build(self, side: int, most: int) -> Any:
        """Encoded bytes and boxes in, pixels of shape (n, side, side, 3) out."""
        on_gpu = self._device.type == "cuda"
        pipeline = empty_pipeline(self._device, most)
        with pipeline:
            crops = fn.decoders.image_slice(
                fn.external_source(name="encoded"),
                device="mixed" if on_gpu else "cpu",
                start=fn.external_source(name="start"),
                shape=fn.external_source(name="shape"),
                axis_names="HW",
                output_type=types.RGB,
                adjust_orientation=False,
                jpeg_fancy_upsampling=True,  # as Pillow does
            )
            pixels = fn.resize(crops, size=[side, side], interp_type=types.INTERP_LINEAR, antialias=True)
            pipeline.set_outputs(pixels)
        pipeline.build()
        return pipeline


def empty_pipeline(device: torch.device, most: int) -> Any:
    """A pipeline for at most so many images at once, without operators yet."""
    return Pipeline(
        batch_size=most,
        num_threads=torch.get_num_threads(),  # training.threads
        device_id=device.index if device.type == "cuda" else None,
        prefetch_queue_depth=1,
        seed=0,  # it draws nothing
    )


def _is_plain(encoded: Encoded) -> bool:
    image = encoded.image
    end = ENDS.get(image.format or "")
    return end is not None and image.mode in ("RGB", "L") and end in encoded.data[-32:]
