"""The sections of the configuration that training alone reads; comments and defaults stand in conf/config.yaml."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Section ``training``."""

    threads: int = 1
    device: str = "auto"
    precision: str = "fp32"
    compression: str = "none"
    compile: bool = False
    channels_last: bool = False
    collectives: str = "horovod"


@dataclass(frozen=True, slots=True)
class RecipeConfig:
    """Section ``recipe``."""

    lr_scaling: str = "none"
    base_batch_size: int = 256
    clip_norm: float | None = None
    ema: float | None = None
    decay_norms: bool = True
    sync_norm: bool = False
