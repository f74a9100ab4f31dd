"""Predicting each next character of a text."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from nestedga.errors import SettingError


class LanguageModel:
    """Cross entropy per character, the mean over the context; the model turns (n, context) into logits for each."""

    metrics = ("bits_per_character", "accuracy", "loss")

    def loss(self, model: torch.nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Nats, shape (), summed over the samples."""
        return _nats(model(inputs).float(), targets)

    def measure(self, model: torch.nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
        """Sums over the samples; ``loss`` is in nats.

        Raises:
            SettingError: the model's logits do not fit the targets.
        """
        logits = model(inputs).double()
        if logits.shape[:-1] != targets.shape:
            raise SettingError(
                f"model gives logits of shape {tuple(logits.shape)} for targets of shape {tuple(targets.shape)}; "
                "a language model needs (n, context, vocabulary) for (n, context)"
            )
        nats = _nats(logits, targets)
        hits = (logits.argmax(2) == targets).double().mean(1).sum()
        return {"bits_per_character": nats / math.log(2.0), "accuracy": hits, "loss": nats}


def _nats(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    total = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
    return total / targets.shape[1]
