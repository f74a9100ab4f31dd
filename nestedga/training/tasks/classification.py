"""Images, or whatever else, and the class of each."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional

from nestedga.errors import SettingError
from nestedga.training.data.base import IGNORED, sent


class Classification:
    """Cross entropy over classes; the model turns inputs into logits, shape (n, classes).

    Args:
        label_smoothing: share of the target that goes to all classes alike (Szegedy et al. 2016, arXiv:1512.00567,
            section 7).
        mixup: alpha; every training sample is mixed with another, as is its target, by a share that each piece draws
            from Beta(alpha, alpha) (Zhang et al. 2018, arXiv:1710.09412, section 2). 0: none.
        cutmix: alpha; a box of every training image is another image's, as is the box's share of the target (Yun et al.
            2019, arXiv:1905.04899, section 3). 0: none. With mixup as well, each piece tosses a coin between them.

    Raises:
        SettingError: for what is out of range.
    """

    metrics = ("accuracy", "error", "loss")

    def __init__(self, label_smoothing: float = 0.0, mixup: float = 0.0, cutmix: float = 0.0) -> None:
        if not 0 <= label_smoothing < 1:
            raise SettingError(f"task.label_smoothing={label_smoothing:g} must be 0 or more and below 1")
        for name, alpha in (("mixup", mixup), ("cutmix", cutmix)):
            if not 0 <= alpha < math.inf:
                raise SettingError(f"task.{name}={alpha:g} must be 0 or more")
        self._smoothing, self._mixup, self._cutmix = label_smoothing, mixup, cutmix

    def loss(self, model: torch.nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Shape (), summed over the samples."""
        if not self._mixup and not self._cutmix:
            return self._entropy(model(inputs), targets)
        order = sent(torch.randperm(len(targets)), targets.device)
        # Who would be mixed with a sample that does not count stays alone.
        order = torch.where(targets[order] == IGNORED, torch.arange(len(targets), device=targets.device), order)
        cut = bool(self._cutmix) and (not self._mixup or bool(torch.rand(()) < 0.5))
        mixed, share = _cut_mix(inputs, order, self._cutmix) if cut else _mix_up(inputs, order, self._mixup)
        outputs = model(mixed)
        own, other = self._entropy(outputs, targets), self._entropy(outputs, _partners(targets, order))
        return share * own + (1.0 - share) * other

    def measure(self, model: torch.nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
        """Sums over the samples.

        Raises:
            SettingError: the model's outputs do not fit the targets.
        """
        outputs = model(inputs)
        _check(outputs, targets)
        correct = (outputs.argmax(1) == targets).sum()
        return {
            "accuracy": correct,
            "error": (targets != IGNORED).sum() - correct,
            "loss": functional.cross_entropy(outputs.double(), targets, reduction="sum", ignore_index=IGNORED),
        }

    def _entropy(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(
            outputs.float(), targets, reduction="sum", ignore_index=IGNORED, label_smoothing=self._smoothing
        )


def _partners(targets: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """The targets that are mixed in; a sample that does not count has none, whomever it is mixed with."""
    return torch.where(targets == IGNORED, targets, targets[order])


def _mix_up(inputs: torch.Tensor, order: torch.Tensor, alpha: float) -> tuple[torch.Tensor, float]:
    share = _beta(alpha)
    return share * inputs + (1.0 - share) * inputs[order], share


def _cut_mix(images: torch.Tensor, order: torch.Tensor, alpha: float) -> tuple[torch.Tensor, float]:
    """A box of the drawn area around a point anywhere, cut off at the border; the share is what remains, exactly."""
    if images.dim() != 4:
        raise SettingError(f"task.cutmix={alpha:g} needs images, and inputs have shape {tuple(images.shape)}; use 0")
    height, width = images.shape[2:]
    side = math.sqrt(1.0 - _beta(alpha))
    row, column = float(torch.rand(())) * height, float(torch.rand(())) * width
    top, bottom = (min(max(round(row + sign * side * height / 2), 0), height) for sign in (-1, 1))
    left, right = (min(max(round(column + sign * side * width / 2), 0), width) for sign in (-1, 1))
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = images[order, :, top:bottom, left:right]
    return mixed, 1.0 - (bottom - top) * (right - left) / (height * width)


def _beta(alpha: float) -> float:
    """Drawn on the CPU, seeded by torch: every device draws the same, and none is waited for. Right for any alpha."""
    return float(np.random.default_rng(int(torch.randint(2**62, ()))).beta(alpha, alpha))


def _check(outputs: torch.Tensor, targets: torch.Tensor) -> None:
    if outputs.dim() != 2 or len(outputs) != len(targets) or targets.dim() != 1:
        raise SettingError(
            f"model gives outputs of shape {tuple(outputs.shape)} for targets of shape {tuple(targets.shape)}; "
            "classification needs (n, classes) for (n,)"
        )
    if targets.is_floating_point():
        raise SettingError(f"data has targets of type {targets.dtype}; classification needs whole numbers")
    classes, counted = outputs.shape[1], targets[targets != IGNORED]
    if len(counted) and not 0 <= int(counted.min()) <= int(counted.max()) < classes:
        raise SettingError(
            f"data has targets from {int(counted.min())} to {int(counted.max())}, and model gives {classes} classes; "
            f"they must be from 0 to {classes - 1} (model.num_classes)"
        )
