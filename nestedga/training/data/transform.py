"""Images made into inputs: colour and normalisation in one affine map a sample, shift, mirror and cutout in one gather.

Random changes are drawn apart from their application, so that every loader applies the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray

from nestedga.errors import SettingError
from nestedga.training.data.base import Strengths, Transform, sent

# Strength: (least, most, whole number?)
STRENGTHS: dict[str, tuple[float, float, bool]] = {
    "pad": (0, 1024, True),
    "mirror": (0, 1, False),
    "cutout": (0, 1024, True),
    "brightness": (0, 1, False),
    "contrast": (0, 1, False),
    "saturation": (0, 1, False),
    "hue": (0, 0.5, False),
}
NUM_UNIFORMS = 9  # a sample; always all are drawn, so that one strength never changes what another does
LUMA = np.array([0.299, 0.587, 0.114])  # Rec. ITU-R BT.601, section 2.5.1
CHROMA = np.array([[0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])  # I and Q of the NTSC colour space, 1953
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Draws:
    """What happens to n images of any height, width and number of channels.

    Attributes:
        shift: rows and columns from the image's corner to the window's, shape (n, 2), int64.
        mirror: whether the window is turned left to right, shape (n,), bool.
        box: top, left, bottom, right of what is cut out of the result, shape (n, 4), int64; empty: nothing.
        matrix: stored values to inputs, shape (n, channels, channels).
        offset: added to them, shape (n, channels).
    """

    shift: NDArray[np.int64]
    mirror: NDArray[np.bool_]
    box: NDArray[np.int64]
    matrix: Floats
    offset: Floats

    @staticmethod
    def join(parts: Sequence[Draws]) -> Draws:
        """One after the other."""
        return Draws(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Draws)))


class ImageTransform:
    """Normalised float images, shape (n, channels, height, width), of stored ones, (n, height, width, channels).

    Strengths (0, the default of each, changes nothing; images keep their size):

    - ``pad``: pixels of padding before a random crop back to size (He et al. 2016, arXiv:1512.03385, section 4.2).
    - ``mirror``: probability of left for right (same source: 0.5).
    - ``cutout``: side in pixels of a square that is cut out, its centre anywhere (DeVries 2017, arXiv:1708.04552).
    - ``brightness``, ``contrast``, ``saturation``: b scales by a factor from [1 - b, 1 + b]: the values; their distance
      from the mean colour; their distance from grey of the same luma.
    - ``hue``: h turns colours at their luma by up to h of a full turn, either way.

    Padding and what is cut out have the mean colour, which is 0 in inputs. Values are never clipped.

    Args:
        mean, deviation: of each channel, in units of the stored values.
    """

    known = STRENGTHS

    def __init__(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        self.mean, self.deviation = np.array(mean, np.float64), np.array(deviation, np.float64)

    def __call__(self, inputs: torch.Tensor, rng: np.random.Generator | None, strengths: Strengths) -> torch.Tensor:
        _, height, width, _ = inputs.shape
        return apply(inputs, self.draws(rng, len(inputs), height, width, strengths))

    def check(self, strengths: Strengths) -> None:
        for name, value in strengths.items():
            if name not in self.known:
                raise SettingError(f"data.augment.{name} is unknown for images; known: {', '.join(self.known)}")
            low, high, whole = self.known[name]
            is_number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
            if not is_number or not low <= value <= high:
                kind = "whole number" if whole else "number"
                raise SettingError(f"data.augment.{name}={value} must be a {kind} from {low} to {high}")
            if name in ("saturation", "hue") and value and len(self.mean) != 3:
                raise SettingError(
                    f"data.augment.{name}={value} needs colour; images of this data set have none: use 0"
                )

    def draws(self, rng: np.random.Generator | None, n: int, height: int, width: int, strengths: Strengths) -> Draws:
        """Of n images; without an ``rng`` none is changed at random."""
        if rng is None:
            rng, strengths = np.random.default_rng(0), {}
        uniforms, strength = rng.random((n, NUM_UNIFORMS)), {**dict.fromkeys(STRENGTHS, 0), **strengths}
        pad, side = strength["pad"], strength["cutout"]
        corner: NDArray[np.int64] = np.floor(uniforms[:, 3:5] * (height, width)).astype(np.int64) - side // 2
        limits = np.array([height, width])
        matrix, offset = self._colours(uniforms[:, 5:], strength)
        return Draws(
            shift=np.floor(uniforms[:, :2] * (2 * pad + 1)).astype(np.int64) - pad,
            mirror=uniforms[:, 2] < strength["mirror"],
            box=np.concatenate([np.clip(corner, 0, limits), np.clip(corner + side, 0, limits)], axis=1),
            matrix=matrix.astype(np.float32),
            offset=offset.astype(np.float32),
        )

    def _colours(
        self, uniforms: NDArray[np.float64], strength: Strengths
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Matrices and offsets: brightness, contrast, saturation, hue and normalisation, one after the other."""
        n, channels = len(uniforms), len(self.mean)
        signed = 2.0 * uniforms - 1.0
        bright, contrast, saturation = (
            1.0 + strength[name] * signed[:, i, None, None]
            for i, name in enumerate(("brightness", "contrast", "saturation"))
        )
        identity = np.eye(channels)
        matrix = np.broadcast_to(identity, (n, channels, channels))
        if channels == 3:
            grey = np.outer(np.ones(3), LUMA)
            # A turn in the plane of I and Q; written so that no turn is the identity to the last bit.
            plane = np.linalg.inv(np.vstack([LUMA, CHROMA]))[:, 1:]
            quarter = plane @ np.array([[0.0, -1.0], [1.0, 0.0]]) @ CHROMA
            angle = 2.0 * np.pi * strength["hue"] * signed[:, 3, None, None]
            hue = identity + (np.cos(angle) - 1.0) * (identity - grey) + np.sin(angle) * quarter
            matrix = hue @ (identity + (saturation - 1.0) * (identity - grey))
        offset = (matrix @ self.mean) * (1.0 - contrast[:, 0]) - self.mean
        return matrix * (bright * contrast) / self.deviation[:, None], offset / self.deviation


def lies_in_draws(transform: Transform | None) -> TypeGuard[ImageTransform]:
    """Whether a transform does what its ``draws`` say and no more; then whoever applies these may do without it."""
    return isinstance(transform, ImageTransform) and type(transform).__call__ is ImageTransform.__call__


def apply(images: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Inputs of stored images (n, height, width, channels), on their device."""
    n, height, width, channels = images.shape
    device = images.device

    def here(array: NDArray[np.generic]) -> torch.Tensor:
        return sent(torch.from_numpy(array), device)

    planes = images.permute(0, 3, 1, 2).flatten(2)
    known = None  # 1, or 0 for pixels that are padding or cut out, shape (n, height, width)
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    if draws.shift.any() or draws.mirror.any():
        shift, mirror = here(draws.shift), here(draws.mirror)
        r = rows + shift[:, :1]
        c = torch.where(mirror[:, None], width - 1 - columns, columns) + shift[:, 1:]
        if draws.shift.any():
            known = ((r >= 0) & (r < height)).float()[:, :, None] * ((c >= 0) & (c < width)).float()[:, None, :]
            r, c = r.clamp_(0, height - 1), c.clamp_(0, width - 1)
        at = (r[:, :, None] * width + c[:, None, :]).flatten(1)
        planes = planes.gather(2, at[:, None].expand(n, channels, height * width))
    if (draws.box[:, 2:] > draws.box[:, :2]).all(1).any():
        top, left, bottom, right = here(draws.box).T[:, :, None]
        cut = ((rows >= top) & (rows < bottom))[:, :, None] & ((columns >= left) & (columns < right))[:, None, :]
        known = (~cut).float() if known is None else known.mul_(~cut)
    pixels = planes.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    matrix, offset = here(draws.matrix)[..., None], here(draws.offset)[..., None]
    if (draws.matrix * (1 - np.eye(channels))).any():
        # Channel by channel: a matrix product may be rounded to ten bits on a GPU.
        inputs = matrix[:, :, 0] * pixels[:, :1]
        for channel in range(1, channels):
            inputs.add_(matrix[:, :, channel] * pixels[:, channel : channel + 1])
    else:
        inputs = pixels.mul_(matrix.diagonal(dim1=1, dim2=2).permute(0, 2, 1))
    inputs = inputs.add_(offset).view(n, channels, height, width)
    return inputs if known is None else inputs.mul_(known[:, None])
