"""One buffer for all that a step sums over the group, so that a step is one reduction, always in the same order."""

from __future__ import annotations

import torch
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import UninitializedParameter

from nestedga.errors import SettingError


class StepBuffer:
    """All that a step sums, side by side: ``[gradients | statistics | loss | number of samples]``.

    The parameters' ``.grad`` and the running statistics are views of flat tensors. (With tensors reduced as they come
    ready, the order of summation, and so the last bits, may differ from run to run.) A gradient has its parameter's
    strides, also where these are channels last: the buffer is contiguous all the same, which Horovod asks for.

    Each micro-batch of a step begins with the same running statistics of its norms; the step ends with their average,
    weighted by samples. So they are equal on all ranks after every step, and do not depend on how many ranks there are.

    Attributes:
        sums: the buffer, shape (n,).
        gradients: its part, of the loss over all samples divided by the batch size.
        others: the rest of it.
        loss: shape (), of it; after ``average`` the mean loss of the step.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if any(isinstance(parameter, UninitializedParameter) for parameter in parameters):
            raise SettingError("model has lazy layers, whose size nobody knows yet; give them their sizes")
        dtypes = {parameter.dtype for parameter in parameters}
        if len(dtypes) != 1:
            raise SettingError(
                f"model has parameters of types {sorted(map(str, dtypes))}; one trainable type is needed"
            )
        norms = [m for m in model.modules() if isinstance(m, _NormBase) and m.running_mean is not None]
        num_gradients = sum(parameter.numel() for parameter in parameters)
        num_statistics = sum(2 * norm.num_features for norm in norms)
        device = parameters[0].device
        self.sums = torch.zeros(num_gradients + num_statistics + 2, dtype=dtypes.pop(), device=device)
        self.gradients, self.others = self.sums[:num_gradients], self.sums[num_gradients:]
        self._summed_statistics, self._means = self.others[:num_statistics], self.others[:-1]
        self._has_norms, self._num_samples, self.loss = bool(norms), self.sums[-1], self.sums[-2]
        self._statistics = torch.empty(num_statistics, dtype=self.sums.dtype, device=device)
        self._start = torch.empty_like(self._statistics)
        self._num_tracked = torch.empty(len(norms), dtype=torch.int64, device=device)  # steps that each norm has seen
        self._num_tracked_at_start = torch.empty_like(self._num_tracked)
        end = 0
        for parameter in parameters:
            strides = torch.empty_like(parameter).stride()  # dense, whatever the parameter is a part of
            parameter.grad = self.sums.as_strided(parameter.shape, strides, end)
            end += parameter.numel()
        end = 0
        for number, norm in enumerate(norms):
            assert norm.num_batches_tracked is not None  # as there is a running mean
            norm.num_batches_tracked = self._num_tracked[number].copy_(norm.num_batches_tracked)
            for name in ("running_mean", "running_var"):
                view = self._statistics[end : end + norm.num_features]
                setattr(norm, name, view.copy_(getattr(norm, name)))
                end += norm.num_features

    def begin_step(self) -> None:
        self.sums.zero_()
        if self._has_norms:  # a small step has no time for operations on nothing
            self._start.copy_(self._statistics)
            self._num_tracked_at_start.copy_(self._num_tracked)

    def begin_piece(self) -> None:
        if self._has_norms:
            self._statistics.copy_(self._start)
            self._num_tracked.copy_(self._num_tracked_at_start)

    def end_piece(self, loss: torch.Tensor, num_samples: int) -> None:
        """Adds what a piece has; its gradients are in place already.

        Args:
            loss: summed over the samples.
            num_samples: how many count.
        """
        if self._has_norms:
            self._summed_statistics.add_(self._statistics, alpha=num_samples)
        self.loss.add_(loss.detach())
        self._num_samples.add_(num_samples)

    def average(self, batch_size: int) -> None:
        """After the reduction: means over the samples that count, which may be fewer than the batch size."""
        at_least_one = self._num_samples.clamp(min=1.0)  # on the device: nobody waits for it
        self.gradients.div_(at_least_one / batch_size)
        self._means.div_(at_least_one)
        if self._has_norms:
            # Where no sample counts, everything stays as it was.
            self._statistics.copy_(torch.where(self._num_samples > 0, self._summed_statistics, self._start))
            torch.add(self._num_tracked_at_start, 1, out=self._num_tracked)
