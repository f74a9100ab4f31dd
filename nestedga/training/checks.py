"""What can be found wrong before the first step, in one line each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from nestedga.errors import SettingError
from nestedga.training.collectives import COLLECTIVES
from nestedga.training.data.base import SPLITS, Piece, Strengths
from nestedga.training.member_settings import MemberSettings
from nestedga.training.settings import TrainingConfig

CHOICES = {
    "device": ("auto", "cpu", "cuda"),
    "precision": ("fp32", "bf16", "fp16"),
    "compression": ("none", "fp16"),
    "collectives": tuple(COLLECTIVES),
}
PROBED = 64  # samples of a split at most


def check_training(training: TrainingConfig) -> None:
    """The section ``training``."""
    if training.threads < 1:
        raise SettingError(f"training.threads={training.threads} must be 1 or more")
    for name, known in CHOICES.items():
        if (value := getattr(training, name)) not in known:
            raise SettingError(f"training.{name}={value!r} is unknown; use {', '.join(known)}")


def check_compiler(device: torch.device) -> None:
    """``training.compile`` makes C++ for a CPU; for a GPU, Triton makes a launcher in C."""
    language, variable, known = (
        ("C++", "CXX", ("g++", "clang++")) if device.type == "cpu" else ("C", "CC", ("gcc", "clang"))
    )
    if not any(shutil.which(name) for name in (os.environ.get(variable), *known) if name):
        raise SettingError(
            f"training.compile=true needs a {language} compiler, and there is neither {known[0]} nor {known[1]} here; "
            f"install one, name it in {variable}, or use training.compile=false"
        )


def check_model(model: Any) -> None:
    """What may be trained."""
    if not isinstance(model, torch.nn.Module):
        raise SettingError(f"model is a {type(model).__name__}; it must be a torch.nn.Module")


def check_dataset(dataset: Any) -> None:
    """What every data set has."""
    for name in ("size", "batch"):
        if not callable(getattr(dataset, name, None)):
            raise SettingError(f"data: {type(dataset).__name__} has no method {name}; see docs/extending.md")


def check_batch(data: Mapping[str, Any], num_samples: int) -> None:
    """How the section ``data`` cuts its training samples."""
    for name in ("batch_size", "micro_batches"):
        if name not in data:
            raise SettingError(f"data.{name} is missing; give it with +data.{name}=1 or more")
        if type(data[name]) is not int:
            raise SettingError(f"data.{name}={data[name]!r} must be a whole number, 1 or more")
    batch_size, micro_batches = data["batch_size"], data["micro_batches"]
    if not 1 <= batch_size <= num_samples:
        raise SettingError(f"data.batch_size={batch_size} must be from 1 to the {num_samples} training samples")
    if not 1 <= micro_batches <= batch_size:
        raise SettingError(
            f"data.micro_batches={micro_batches} must be from 1 to data.batch_size={batch_size}; "
            "by default there is one for each rank of groups.group_size"
        )


def check_sync_norm(settings: MemberSettings, group_size: int) -> None:
    """Every rank must have one piece of each step, and so the same reductions as the others."""
    pieces = settings.data["micro_batches"]
    if settings.resplit != "never":
        raise SettingError(
            f"recipe.sync_norm=true needs groups that stay; use groups.resplit=never, not {settings.resplit}"
        )
    if pieces != group_size:
        raise SettingError(
            f"recipe.sync_norm=true needs one piece for each rank of a group: data.micro_batches={pieces}, and a group "
            f"has {group_size}; use data.micro_batches={group_size} and groups of one size, or recipe.sync_norm=false"
        )


def probe(components: Any, strengths: Strengths) -> None:
    """One batch of each split through data, model and metrics, and of training through the loss; nothing is trained.

    Samples are taken from all over a split, for many lie sorted by class; and the highest class that the data set
    names stands among the targets, whether or not it was met.

    Args:
        components: what stands built.
        strengths: of augmentation.

    Raises:
        SettingError: inputs that are no numbers, targets out of range, shapes that do not fit.
    """
    components.model.eval()
    for split in SPLITS:
        size = components.dataset.size(split)
        indices = np.unique(np.linspace(0, size - 1, min(PROBED, size)).astype(np.int64))
        training = split == "train"
        (batch,) = components.loader.batches(split, [Piece(indices, key=0 if training else None)], strengths)
        broken = int((~torch.isfinite(batch.inputs)).reshape(len(batch.inputs), -1).any(1).sum())
        if broken:
            raise SettingError(f"data: {broken} of {len(batch.inputs)} {split} inputs hold NaN or infinity")
        inputs, targets = components.laid_out(batch.inputs), batch.targets
        if (num_classes := getattr(components.dataset, "num_classes", None)) and not targets.is_floating_point():
            targets = targets.clone()
            targets.view(-1)[0] = num_classes - 1
        try:
            with torch.no_grad(), components.precision.autocast():
                measured = components.task.measure(components.model, inputs, targets)
                loss = components.task.loss(components.model, inputs, targets) if training else torch.zeros(())
        except SettingError:
            raise
        except Exception as error:
            raise SettingError(
                f"model and task do not take the data's inputs of shape {tuple(inputs.shape)} and targets of shape "
                f"{tuple(targets.shape)}: {(str(error) or type(error).__name__).splitlines()[0]}"
            ) from error
        if torch.is_tensor(loss) and loss.dim():
            raise SettingError(f"task: loss gives shape {tuple(loss.shape)}, not one number, summed over the samples")
        given = {"loss": loss, **{f"measure's {name}": value for name, value in measured.items()}}
        for what, value in given.items():
            if not torch.is_tensor(value):
                raise SettingError(f"task: {what} is a {type(value).__name__}; make it a torch tensor of one number")
        missing = [name for name in components.task.metrics if name not in measured]
        if missing:
            raise SettingError(f"task.metrics names {missing[0]}, and measure gives {', '.join(measured) or 'nothing'}")
