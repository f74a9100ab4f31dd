"""What can be found wrong before the first step, in one line each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from nestedga.errors import SettingError
from nestedga.place import Settings
from nestedga.training.data.base import Piece

CHOICES = {"device": ("auto", "cpu", "cuda"), "precision": ("fp32", "bf16", "fp16"), "compression": ("none", "fp16")}
PROBED = 64  # samples at most


def check_training(training: Mapping[str, Any]) -> None:
    """The section ``training``."""
    if training["threads"] < 1:
        raise SettingError(f"training.threads={training['threads']} must be 1 or more")
    for name, known in CHOICES.items():
        if training[name] not in known:
            raise SettingError(f"training.{name}={training[name]!r} is unknown; use {', '.join(known)}")


def check_compiler(device: torch.device) -> None:
    """``training.compile`` makes C++ for a CPU."""
    compilers = (os.environ.get("CXX"), "g++", "clang++")
    if device.type == "cpu" and not any(shutil.which(name) for name in compilers if name):
        raise SettingError(
            "training.compile=true needs a C++ compiler on a CPU, and there is neither g++ nor clang++ here; install "
            "one, name it in CXX, or use training.compile=false"
        )


def check_batch(data: Mapping[str, Any], num_samples: int) -> None:
    """How the section ``data`` cuts its training samples."""
    for name in ("batch_size", "micro_batches"):
        if name not in data:
            raise SettingError(f"data.{name} is missing; give it with +data.{name}=1 or more")
    batch_size, micro_batches = data["batch_size"], data["micro_batches"]
    if not 1 <= batch_size <= num_samples:
        raise SettingError(f"data.batch_size={batch_size} must be from 1 to the {num_samples} training samples")
    if not 1 <= micro_batches <= batch_size:
        raise SettingError(
            f"data.micro_batches={micro_batches} must be from 1 to data.batch_size={batch_size}; "
            "by default there is one for each rank of groups.group_size"
        )


def check_sync_norm(settings: Settings, group_size: int) -> None:
    """Every rank must have one piece of each step, and so the same reductions as the others."""
    pieces = settings["data"]["micro_batches"]
    if settings["groups"]["resplit"] != "never":
        raise SettingError(
            f"recipe.sync_norm=true needs groups that stay; use groups.resplit=never, not "
            f"{settings['groups']['resplit']}"
        )
    if pieces != group_size:
        raise SettingError(
            f"recipe.sync_norm=true needs one piece for each rank of a group: data.micro_batches={pieces}, and a group "
            f"has {group_size}; use data.micro_batches={group_size} and groups of one size, or recipe.sync_norm=false"
        )


def probe(bench: Any, augment: Mapping[str, Any]) -> None:
    """One batch through the data, the model, the loss and the metrics; nothing is trained.

    Args:
        bench: what stands built.
        augment: strengths.

    Raises:
        SettingError: inputs that are no numbers, targets out of range, shapes that do not fit.
    """
    piece = Piece(np.arange(min(PROBED, bench.dataset.size("train"))), key=0)
    (batch,) = bench.loader.batches("train", [piece], augment)
    broken = int((~torch.isfinite(batch.inputs)).flatten(1).any(1).sum())
    if broken:
        raise SettingError(f"data: {broken} of the first {len(batch.inputs)} training inputs hold NaN or infinity")
    inputs = bench.laid_out(batch.inputs)
    bench.model.eval()
    try:
        with torch.no_grad(), bench.precision.autocast():
            measured = bench.task.measure(bench.model, inputs, batch.targets)
            loss = bench.task.loss(bench.model, inputs, batch.targets)
    except (RuntimeError, ValueError, IndexError) as error:
        if isinstance(error, SettingError):
            raise
        raise SettingError(
            f"model and task do not take the data's inputs of shape {tuple(inputs.shape)} and targets of shape "
            f"{tuple(batch.targets.shape)}: {str(error).splitlines()[0]}"
        ) from error
    missing = [name for name in bench.task.metrics if name not in measured]
    if missing:
        raise SettingError(f"task.metrics names {missing[0]}, and measure gives {', '.join(measured) or 'nothing'}")
    if loss.dim():
        raise SettingError(f"task: loss gives shape {tuple(loss.shape)}, not one number, summed over the samples")
