"""Recurrent networks, for series and for characters."""

from __future__ import annotations

import torch
from torch import nn

from nestedga.errors import SettingError

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class Cells(nn.Module):
    """Recurrent layers one upon the other, with dropout after each (Zaremba et al. 2014, arXiv:1409.2329).

    The layers are single ones of torch: between layers of its own stack, a GPU draws dropout from a state that cuDNN
    keeps, which the key of a piece does not reach.

    Args:
        cell: rnn (Elman's, with tanh), lstm or gru.
        num_inputs: numbers a step.
        hidden: units of a layer.
        layers: how many.
        dropout: probability.

    Shapes: (n, steps, num_inputs) to (n, steps, hidden).
    """

    def __init__(self, cell: str, num_inputs: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        if cell not in CELLS:
            raise SettingError(f"model.cell={cell} is unknown; known: {', '.join(CELLS)}")
        if layers < 1:
            raise SettingError(f"model.layers={layers} must be 1 or more")
        widths = [num_inputs] + [hidden] * (layers - 1)
        self.layers = nn.ModuleList(CELLS[cell](width, hidden, batch_first=True) for width in widths)
        self.dropout = nn.Dropout(dropout)
        for name, parameter in self.named_parameters():
            if cell == "lstm" and "bias" in name:
                # The forget gate begins open (Jozefowicz et al. 2015). torch adds two biases; the gates are i, f, g, o.
                parameter.data[hidden : 2 * hidden] = 1.0 if "bias_ih" in name else 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = self.dropout(layer(x)[0])
        return x


class Forecaster(nn.Module):
    """Reads a window and says how the rows after it will differ from its last one.

    Args:
        cell, hidden, layers, dropout: of ``Cells``.
        horizon: rows forecast.
        num_columns: of the series.

    Shapes: (n, window, num_columns) to (n, horizon, num_columns).
    """

    def __init__(
        self,
        cell: str = "lstm",
        hidden: int = 32,
        layers: int = 1,
        dropout: float = 0.0,
        horizon: int = 8,
        num_columns: int = 1,
    ) -> None:
        super().__init__()
        self.cells = Cells(cell, num_columns, hidden, layers, dropout)
        self.change = nn.Linear(hidden, horizon * num_columns)
        self.horizon, self.num_columns = horizon, num_columns

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        last = self.cells(series)[:, -1]
        change = self.change(last).view(-1, self.horizon, self.num_columns)
        return series[:, -1:] + change  # type: ignore[no-any-return]


class CharacterRNN(nn.Module):
    """A language model of characters.

    Args:
        vocabulary_size: of the data.
        cell, hidden, layers, dropout: of ``Cells``; a character's embedding has ``hidden`` numbers.

    Shapes: (n, steps) int64 to logits, (n, steps, vocabulary_size).
    """

    def __init__(
        self, vocabulary_size: int = 128, cell: str = "lstm", hidden: int = 128, layers: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary_size, hidden)
        self.cells = Cells(cell, hidden, hidden, layers, dropout)
        self.logits = nn.Linear(hidden, vocabulary_size)

    def forward(self, characters: torch.Tensor) -> torch.Tensor:
        return self.logits(self.cells(self.embed(characters)))  # type: ignore[no-any-return]
