"""Images kept as JPEG, PNG and the like: read, cropped and decoded when wanted; corrupt ones refused or skipped.

Where the bytes lie is the data set's business (``image_folder``, ``image_records``). Crops are drawn apart from the
decoding, so that every loader decodes the same ones.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from nestedga.errors import SettingError
from nestedga.training.data.base import IGNORED, Indices, Strengths, cut_off_test, split_of
from nestedga.training.data.transform import STRENGTHS, ImageTransform

SUFFIXES = ("jpg", "jpeg", "png", "bmp", "webp", "gif", "tif", "tiff", "ppm", "pgm")
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "PPM")  # no others: some of Pillow's readers run programs
MAX_PIXELS = 89_478_485  # where Pillow begins to warn: 256 MiB of colour; a small file can claim far more than there is
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's training images, by channel; white is 1
RATIOS = (3 / 4, 4 / 3)  # width to height of a random crop (Szegedy et al. 2015, arXiv:1409.4842, section 6)
TRIES = 10  # crops drawn until one lies inside the image, as torchvision's RandomResizedCrop has it


class Samples(Protocol):
    """Encoded images of known classes."""

    targets: Indices

    def name(self, index: int) -> str:
        """Where the image comes from, for a message; printable."""
        ...

    def read(self, index: int) -> bytes:
        """The encoded image; OSError where it cannot be had."""
        ...


@dataclass(frozen=True, slots=True)
class Encoded:
    """An encoded image whose header has been read, and no more of it."""

    data: bytes
    image: Image.Image


class Decoder(Protocol):
    """Decodes n images, cuts a box (top, left, height, width) out of each, and scales it to ``side``."""

    def __call__(
        self, images: Sequence[Encoded], boxes: Indices, side: int
    ) -> tuple[torch.Tensor, Mapping[int, Exception]]:
        """Colour images, shape (n, side, side, 3), uint8, and why the rows that could not be decoded could not."""
        ...


class CroppedTransform(ImageTransform):
    """Besides ``ImageTransform``'s: strength ``crop_area``, used by the data set.

    It is the smallest share of an image's area that a random crop keeps; 1, the default, crops as for measuring.
    """

    known = STRENGTHS | {"crop_area": (0.01, 1, False)}


class EncodedImages:
    """Images of any size; inputs are square, in colour. Orientation marks (EXIF) are ignored.

    Args:
        parts: training images, and test images or None: the test split is cut from the others then.
        test_size: images cut off for the test split; None where it has images of its own.
        fitness_size: training images held out for the FoM.
        size: pixels of an input's side.
        resize: for measuring, the short side is scaled to so many pixels and the centre of ``size`` is cut out.
        mean, deviation: of each channel; white is 1.
        on_error: what a corrupt image does: ``refuse`` raises SettingError when it is first wanted. ``skip`` prints its
            name once; it is the mean colour, and counts nowhere.
    """

    def __init__(
        self,
        parts: tuple[Samples, Samples | None],
        test_size: int | None,
        fitness_size: int,
        size: int,
        resize: int,
        mean: Sequence[float],
        deviation: Sequence[float],
        on_error: str,
    ) -> None:
        if not 1 <= size <= resize:
            raise SettingError(f"data.size={size} must be from 1 to data.resize={resize}")
        if not len(mean) == len(deviation) == 3 or min(deviation) <= 0:
            raise SettingError(
                f"data.mean={list(mean)} and data.deviation={list(deviation)} must have three values each, "
                "of red, green and blue; deviations above 0"
            )
        self.side, self._share, self._skip = size, size / resize, skips(on_error)
        self.skipped: set[str] = set()  # names of corrupt images that this rank has met
        train, test = parts
        order: Indices = np.arange(len(train.targets))
        if test is None:
            order, cut = cut_off_test(len(order), test_size, "images")
            self._parts = {"test": (train, cut)}
        elif test_size is not None:
            raise SettingError(f"data.test_size={test_size}: data.root has test images of its own; use null")
        else:
            self._parts = {"test": (test, np.arange(len(test.targets)))}
        for split, rows in zip(("train", "fitness"), split_of(len(order), fitness_size, seed=1), strict=True):
            self._parts[split] = (train, np.sort(order[rows]))
        self.transform = CroppedTransform([255 * value for value in mean], [255 * value for value in deviation])

    def size(self, split: str) -> int:
        return len(self._parts[split][1])

    def batch(self, split: str, indices: Indices) -> tuple[torch.Tensor, torch.Tensor]:
        return self.cropped(split, indices, None, {})

    def cropped(
        self,
        split: str,
        indices: Indices,
        rng: np.random.Generator | None,
        strengths: Strengths,
        decode: Decoder | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Stored inputs, shape (n, side, side, 3), uint8, and targets; without an ``rng`` cropped as for measuring.

        Pillow decodes them unless another ``decode`` is given.
        """
        samples, rows = self._parts[split]
        rows = rows[indices]
        images = [self._open(samples, row) for row in rows]
        sizes = np.array([image.image.size[::-1] if image else (1, 1) for image in images]).reshape(-1, 2)
        boxes = self._boxes(sizes, rng, strengths)
        found = np.array([row for row, image in enumerate(images) if image], np.int64)
        pixels, errors = (decode or decode_with_pillow)([image for image in images if image], boxes[found], self.side)
        for at, error in errors.items():
            self._lose(samples.name(int(rows[found[at]])), error)
        intact = np.delete(found, list(errors))
        targets = torch.full((len(rows),), IGNORED)
        targets[intact] = torch.from_numpy(samples.targets[rows[intact]])
        if len(intact) < len(rows):
            known, colour = pixels, torch.from_numpy(self.transform.mean.round().astype(np.uint8))
            pixels = colour.to(known.device).repeat(len(rows), self.side, self.side, 1)
            pixels[intact] = known[np.delete(np.arange(len(found)), list(errors))]
        return pixels, targets

    def _boxes(self, sizes: Indices, rng: np.random.Generator | None, strengths: Strengths) -> Indices:
        least_area = strengths.get("crop_area", 1)
        boxes = None if rng is None else random_boxes(rng, sizes, least_area)  # drawn always, whatever the strength
        return centre_boxes(sizes, self._share) if boxes is None or least_area == 1 else boxes

    def _open(self, samples: Samples, row: int) -> Encoded | None:
        try:
            return open_image(samples.read(row))
        except MemoryError:  # the machine's fault, not the image's
            raise
        except Exception as error:  # noqa: BLE001 (readers of strangers' files raise what they like)
            self._lose(samples.name(row), error)
            return None

    def _lose(self, name: str, error: Exception) -> None:
        reason = printable(" ".join(str(error).split())) or type(error).__name__
        if not self._skip:
            raise SettingError(f"data: {name} cannot be used ({reason}); remove it, or set data.on_error=skip")
        if name not in self.skipped:
            self.skipped.add(name)
            print(f"nestedga: {name} is skipped ({reason}); {len(self.skipped)} so far on this rank", flush=True)


def printable(text: str) -> str:
    """With escapes where a name on disk is no UTF-8; as it is, neither a log nor a terminal would take it."""
    return text.encode("utf-8", "backslashreplace").decode()


def skips(on_error: str) -> bool:
    """What ``data.on_error`` means."""
    if on_error not in ("refuse", "skip"):
        raise SettingError(f"data.on_error={on_error!r} is unknown; use refuse or skip")
    return on_error == "skip"


def random_boxes(rng: np.random.Generator, sizes: Indices, least_area: float) -> Indices:
    """Crops of a random area, ratio and place (Szegedy et al. 2015, section 6), ready to be scaled to one size.

    Args:
        sizes: height and width of the images, shape (n, 2).
        least_area: smallest share of an image's area; the largest is 1.

    Returns:
        top, left, height, width, shape (n, 4). Where no try lies inside the image: the largest of the nearest ratio.
    """
    n, limits = len(sizes), sizes[:, None, :]
    shapes, places = rng.random((n, TRIES, 2)), rng.random((n, 2))
    area = sizes.prod(1)[:, None] * (least_area + (1.0 - least_area) * shapes[:, :, 0])
    ratio = RATIOS[0] * (RATIOS[1] / RATIOS[0]) ** shapes[:, :, 1]  # wide and narrow are equally likely
    tries = np.stack([np.sqrt(area / ratio), np.sqrt(area * ratio)], axis=2).round().astype(np.int64)
    fits = np.logical_and(tries >= 1, tries <= limits).all(2)
    largest = np.minimum(sizes, np.maximum(1, (sizes[:, ::-1] * RATIOS[1]).round().astype(np.int64)))
    chosen = np.where(np.any(fits, axis=1, keepdims=True), tries[np.arange(n), np.argmax(fits, axis=1)], largest)
    return np.concatenate([np.floor(places * (sizes - chosen + 1)).astype(np.int64), chosen], axis=1)


def centre_boxes(sizes: Indices, share: float) -> Indices:
    """The square in the middle whose side is ``share`` of the short side: top, left, height, width, shape (n, 4)."""
    sides = np.maximum(1, (sizes.min(1) * share).round().astype(np.int64))[:, None].repeat(2, 1)
    return np.concatenate([(sizes - sides) // 2, sides], axis=1)


def open_image(data: bytes) -> Encoded:
    """Reads the header.

    Raises:
        ValueError: it is empty, no image of a known format, or has more than MAX_PIXELS.
        Exception: whatever Pillow finds wrong.
    """
    if not data:
        raise ValueError("empty")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise ValueError(f"no intact header of {', '.join(FORMATS)}") from None
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{image.width} x {image.height} pixels, beyond {MAX_PIXELS:,}")
    return Encoded(data, image)


def decode_with_pillow(
    images: Sequence[Encoded], boxes: Indices, side: int
) -> tuple[torch.Tensor, Mapping[int, Exception]]:
    """A ``Decoder``, one image after another."""
    pixels = np.zeros((len(images), side, side, 3), np.uint8)
    errors: dict[int, Exception] = {}
    for row, (encoded, (top, left, height, width)) in enumerate(zip(images, boxes.tolist(), strict=True)):
        try:
            # Cut first: what lies outside the crop has no say in its pixels.
            crop = _coloured(encoded.image).crop((left, top, left + width, top + height))
            pixels[row] = np.asarray(crop.resize((side, side), Image.Resampling.BILINEAR))
            encoded.image.close()  # a batch of large images would take gigabytes
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 (whatever a decoder raises, it is the image)
            errors[row] = error
    return torch.from_numpy(pixels), errors


def _coloured(image: Image.Image) -> Image.Image:
    """Red, green and blue of 8 bits; transparency is dropped."""
    if image.mode.startswith("I;16"):  # grey of 16 bits, of which Pillow would cut off what is above 255
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"values of 32 bits (mode {image.mode}), whose range nobody knows")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("RGB")
