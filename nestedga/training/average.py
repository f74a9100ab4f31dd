"""Weights averaged over the steps of a lineage (exponential moving average)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    """A second set of a model's floating-point weights and statistics, which follows the first.

    It begins as the weights. ``average += (1 - d) (weights - average)`` after every step, with d the smaller of the
    decay and (1 + steps) / (10 + steps): so the random beginning is soon forgotten (as TensorFlow's
    ExponentialMovingAverage with num_updates). Statistics are averaged like weights, so that they fit these.

    Args:
        model: whose tensors stay where they are.

    Attributes:
        tensors: by their names in a state.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        live = {f"ema/{name}": tensor for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
        self.tensors = {name: tensor.clone() for name, tensor in live.items()}
        self._live, self._averaged = list(live.values()), list(self.tensors.values())

    def restart(self, known: Set[tuple[str, tuple[int, ...]]]) -> None:
        """Begins again as the weights, but for tensors whose name and shape are known: these were loaded."""
        for (name, averaged), live in zip(self.tensors.items(), self._live, strict=True):
            if (name, tuple(averaged.shape)) not in known:
                averaged.copy_(live)

    def update(self, decay: float, steps: int) -> None:
        """Follows the weights after one more step, the lineage's ``steps``-th."""
        follow = get_ema_multi_avg_fn(min(decay, (1 + steps) / (10 + steps)))  # type: ignore[no-untyped-call]
        follow(self._averaged, self._live, None)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """For a while, the model has the average, and the average what the model had."""
        pairs = list(zip(self._averaged, self._live, strict=True))
        _exchange(pairs)
        try:
            yield
        finally:
            _exchange(pairs[::-1])  # backwards, for a tensor may have two names


def _exchange(pairs: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> None:
    with torch.no_grad():
        for averaged, live in pairs:
            kept = live.clone()
            live.copy_(averaged)
            averaged.copy_(kept)
