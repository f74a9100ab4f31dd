"""Batch norm over all pieces of a step at once."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from nestedga.training.data_parallel import DataParallel


class SynchronisedNorm(_BatchNorm):
    """Batch norm whose mean and variance are those of the samples of all ranks; measured as any other.

    (Horovod's own wants a GPU.) Sums are taken of the distance from the running mean, which all ranks share, so that
    the variance is no small difference of large numbers.

    Args:
        norm: whose parameters and statistics it takes over.
        parallel: the group; every rank has one piece of each step.
        name: of its reductions.
    """

    def __init__(self, norm: _BatchNorm, parallel: DataParallel, name: str) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self._parallel, self._name = parallel, name

    def _check_input_dim(self, x: torch.Tensor) -> None:
        """Any dimension will do: channels are the second."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:  # ranks measure different numbers of chunks: no reductions
            return super().forward(x)
        channels, rest = x.shape[1], [at for at in range(x.dim()) if at != 1]
        across = [1, channels, *(1 for _ in rest[1:])]
        with torch.autocast(x.device.type, enabled=False):
            wide = x.float()
            shift = wide.new_zeros(channels) if self.running_mean is None else self.running_mean.clone()
            wide = wide - shift.view(across)
            count = wide.new_full((1,), wide.numel() / channels)
            sums = _sum(torch.cat([wide.sum(rest), wide.square().sum(rest), count]), self._parallel, self._name)
            total = sums[-1]
            mean = sums[:channels] / total
            variance = (sums[channels:-1] / total - mean.square()).clamp(min=0.0)
            out: torch.Tensor = (wide - mean.view(across)) * (variance + self.eps).rsqrt().view(across)
            if self.affine:
                out = out * self.weight.view(across) + self.bias.view(across)
            self._track((mean + shift).detach(), (variance * total / (total - 1.0)).detach())
        return out.to(x.dtype)

    def _track(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        weight = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, weight)
        self.running_var.lerp_(variance, weight)


def synchronise(model: torch.nn.Module, parallel: DataParallel, name: str = "norm") -> torch.nn.Module:
    """The model with its batch norms replaced; names in its state stay."""
    if isinstance(model, _BatchNorm):
        return SynchronisedNorm(model, parallel, name)
    for child_name, child in list(model.named_children()):
        setattr(model, child_name, synchronise(child, parallel, f"{name}.{child_name}"))
    return model


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _sum(mine: torch.Tensor, parallel: DataParallel, name: str) -> torch.Tensor:
    total: torch.Tensor = _Sum.apply(mine, parallel, name)  # type: ignore[no-untyped-call]
    return total


class _Sum(torch.autograd.Function):
    """The sum over the ranks; its gradient is the sum of theirs.

    Horovod's differentiable allreduce names its backward pass by a count of all reductions of the process, which
    differs between ranks that have been in different groups: they would wait for each other for ever.
    """

    @staticmethod
    def forward(ctx: Any, mine: torch.Tensor, parallel: DataParallel, name: str) -> torch.Tensor:
        ctx.parallel, ctx.name = parallel, name
        total = mine.clone()
        parallel.sum_(total, name)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        total = gradients[0].clone()
        ctx.parallel.sum_(total, f"{ctx.name}.backward")
        return total, None, None
