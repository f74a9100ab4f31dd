"""What a member learns. One task a file in ``tasks/``; a user's own is one ``_target_`` away."""

from __future__ import annotations

from typing import Any, Protocol

import torch

from nestedga.training.data.base import Dataset


class Task(Protocol):
    """A loss and the metrics that judge it; where it says so, also the data and the network.

    The settings of section ``task`` are the arguments of its constructor: genes may lie there. A task is made anew for
    every member, so it keeps nothing.
    """

    metrics: tuple[str, ...]
    """Names that ``measure`` gives."""

    def data(self, **settings: Any) -> Dataset:
        """The data set, from section ``data``; asked only where that section has no ``_target_``."""
        ...

    def model(self, **settings: Any) -> torch.nn.Module:
        """The network, from section ``model``; asked only where that section has no ``_target_``."""
        ...

    def loss(self, model: torch.nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """What training makes small: shape (), summed over the samples. Draws are torch's, seeded for each piece."""
        ...

    def measure(self, model: torch.nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
        """Metrics by name, each of shape (), summed over the samples; the mean over a split is what is reported."""
        ...
