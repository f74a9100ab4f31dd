"""A decoder-only transformer for characters, after Radford et al. 2019 (GPT-2)."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from nestedga.errors import SettingError

INITIAL_DEVIATION = 0.02  # of weights: Radford et al. 2018, section 4.1


class Attention(nn.Module):
    """Causal attention with several heads (Vaswani et al. 2017, section 3.2): a step sees itself and those before."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, steps, width = x.shape
        query, key, value = self.project_in(x).view(n, steps, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(
            query, key, value, dropout_p=self.dropout if self.training else 0.0, is_causal=True
        )
        return self.project_out(mixed.transpose(1, 2).reshape(n, steps, width))  # type: ignore[no-any-return]


class Layer(nn.Module):
    """Attention and a network of two layers, each after a norm (Xiong et al. 2020, arXiv:2002.04745), past skips."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.dropout(self.attention(self.norm1(x)))
        return x + self.dropout(self.narrow(functional.gelu(self.widen(self.norm2(x)))))  # type: ignore[no-any-return]


class CharacterTransformer(nn.Module):
    """A language model of characters. Positions are learnt; the logits use the embedding (Press and Wolf 2017).

    Args:
        vocabulary_size: of the data.
        context: characters that are seen, at most.
        width: numbers a character.
        heads: of attention; they share the width.
        layers: how many.
        dropout: probability, after the embedding, of attention, and after each part of a layer.

    Shapes: (n, steps) int64 to logits, (n, steps, vocabulary_size).
    """

    def __init__(
        self,
        vocabulary_size: int = 128,
        context: int = 64,
        width: int = 64,
        heads: int = 4,
        layers: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if width % heads:
            raise SettingError(f"model.width={width} is no multiple of model.heads={heads}")
        self.context = context
        self.embed = nn.Embedding(vocabulary_size, width)
        self.positions = nn.Parameter(torch.empty(context, width))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential(*(Layer(width, heads, dropout) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                # Into the sum of 2 x layers skips goes as little as Radford et al. 2019, section 2.3, let in.
                into_skip = name.endswith(("project_out.weight", "narrow.weight"))
                nn.init.normal_(parameter, std=INITIAL_DEVIATION / (math.sqrt(2 * layers) if into_skip else 1.0))
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, characters: torch.Tensor) -> torch.Tensor:
        steps = characters.shape[1]
        if steps > self.context:
            raise SettingError(f"model.context={self.context} is less than the data's {steps} characters; raise it")
        x = self.dropout(self.embed(characters) + self.positions[:steps])
        return functional.linear(self.norm(self.layers(x)), self.embed.weight)
