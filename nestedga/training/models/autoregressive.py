"""The linear baseline for series."""

from __future__ import annotations

import torch
from torch import nn

from nestedga.errors import SettingError


class AutoRegression(nn.Module):
    """AR(p): each forecast value is a linear function of the last p rows (Box and Jenkins 1970, chapter 3).

    With several columns it is a vector autoregression. Each step ahead has coefficients of its own, so nothing is fed
    back, and least squares has a closed form.

    Args:
        order: p, rows looked back on.
        horizon: rows forecast.
        num_columns: of the series.

    Shapes: (n, window, num_columns) to (n, horizon, num_columns).
    """

    def __init__(self, order: int = 24, horizon: int = 8, num_columns: int = 1) -> None:
        super().__init__()
        self.order, self.horizon, self.num_columns = order, horizon, num_columns
        self.linear = nn.Linear(order * num_columns, horizon * num_columns)

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        if series.shape[1] < self.order:
            raise SettingError(f"model.order={self.order} is above data.window={series.shape[1]}; use a smaller one")
        last = series[:, -self.order :].flatten(1)
        return self.linear(last).view(-1, self.horizon, self.num_columns)  # type: ignore[no-any-return]
