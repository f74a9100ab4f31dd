"""Loaders: one a file. They differ in where the work is done, never in what comes out."""

from __future__ import annotations

import importlib

import torch

from nestedga.errors import SettingError
from nestedga.training.data.base import SPLITS, Dataset, Loader

LOADERS = {"torch": "TorchLoader", "device": "DeviceLoader", "dali": "DaliLoader"}


def make_loader(name: str, dataset: Dataset, device: torch.device) -> Loader:
    """The loader that ``data.loader`` names.

    Raises:
        SettingError: there is none of the name, a split is empty, or the loader cannot serve this data set here.
    """
    if name not in LOADERS:
        raise SettingError(f"data.loader={name} is unknown; known: {', '.join(LOADERS)}")
    for split in SPLITS:
        if dataset.size(split) < 1:
            raise SettingError(f"data: there are no {split} samples")
    # Imported when wanted: DALI takes seconds, and need not be installed.
    module = importlib.import_module(f"{__name__}.{name}")
    loader: Loader = getattr(module, LOADERS[name])(dataset, device)
    return loader
