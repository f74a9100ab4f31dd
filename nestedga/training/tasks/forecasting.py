"""Forecasting a series."""

from __future__ import annotations

import torch

from nestedga.errors import SettingError


class Forecasting:
    """Squared error, the mean over horizon and columns, in units of the training part's deviation."""

    metrics = ("mse", "mae", "loss")

    def loss(self, model: torch.nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Shape (), summed over the samples."""
        return _errors(model, inputs, targets).square().mean(1).sum()

    def measure(self, model: torch.nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
        """Sums over the samples; ``mse`` is the loss under the name that the field gives it.

        Raises:
            SettingError: the model's forecasts do not fit the targets.
        """
        errors = _errors(model, inputs, targets).double()
        squared = errors.square().mean(1).sum()
        return {"mse": squared, "mae": errors.abs().mean(1).sum(), "loss": squared}


def _errors(model: torch.nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Shape (n, horizon x columns)."""
    columns, expected = inputs.shape[-1], getattr(model, "num_columns", inputs.shape[-1])
    if columns != expected:
        raise SettingError(
            f"model.num_columns={expected}, and the data has {columns}; use model.num_columns={columns}, or name as "
            "many in data.columns"
        )
    forecasts = model(inputs)
    if forecasts.shape != targets.shape:  # a difference would be broadcast, and trained on in silence
        raise SettingError(
            f"model gives forecasts of shape {tuple(forecasts.shape)} for targets of shape {tuple(targets.shape)}, "
            "(n, horizon, columns); set model.horizon and model.num_columns to these"
        )
    return (forecasts - targets).flatten(1)  # type: ignore[no-any-return]
