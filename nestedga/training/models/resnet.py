"""Residual networks for CIFAR: He et al. 2016, "Deep Residual Learning" (arXiv:1512.03385), section 4.2."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from nestedga.errors import SettingError


class Block(nn.Module):
    """Two 3x3 convolutions, and past them an identity (option A: subsampled and padded with zeros, no parameters)."""

    def __init__(self, in_channels: int, channels: int, stride: int, skip: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.added_channels = channels - in_channels
        self.skip = skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = functional.relu(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        if self.skip:
            if self.stride > 1 or self.added_channels:
                x = x[:, :, :: self.stride, :: self.stride]
                x = functional.pad(x, (0, 0, 0, 0, 0, self.added_channels))
            out = out + x
        return functional.relu(out)


class ResNet(nn.Module):
    """ResNet of 6n + 2 layers: 20, 32, 44, 56 and 110 in the paper's table 6.

    Args:
        depth: 6n + 2.
        num_classes: of the targets.
        width: channels of the first stage; 16 in the paper.
        skip: False gives the paper's plain network.

    Shapes: (n, 3, 32, 32) float to (n, num_classes).
    """

    def __init__(self, depth: int = 20, num_classes: int = 10, width: int = 16, skip: bool = True) -> None:
        super().__init__()
        blocks, odd = divmod(depth - 2, 6)
        if odd or blocks < 1:
            raise SettingError(f"model.depth={depth} is not 6n + 2; use 20, 32, 44, 56 or 110")
        self.conv = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        stages, channels = [], width
        for stage in range(3):
            for block in range(blocks):
                wider = width * 2**stage
                stages.append(Block(channels, wider, 2 if stage and not block else 1, skip))
                channels = wider
        self.blocks = nn.Sequential(*stages)
        self.classify = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)  # He et al. 2015 (arXiv:1502.01852)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.norm(self.conv(images)))
        x = self.blocks(x)
        return self.classify(x.mean((2, 3)))  # type: ignore[no-any-return]
