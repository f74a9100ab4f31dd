"""Mixed precision: what is computed in 16 bits, and the scaler that keeps fp16 gradients from vanishing."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """Weights, gradients and all that is inherited stay fp32; autocast chooses what is computed in 16 bits.

    With fp16 the loss is scaled, and a step whose gradients overflow is left out and the scale halved (Micikevicius et
    al. 2018, arXiv:1710.03740, section 3.2); on every rank alike, for they see the same sums. Torch's scaler waits for
    the device once a step to know.

    Args:
        name: fp32, bf16 or fp16.
        device: on which is computed.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self._dtype, self._device = DTYPES[name], device
        self._scaler: torch.amp.GradScaler
        self.restart()

    def restart(self) -> None:
        """The scaler of a fresh member."""
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=self._dtype == torch.float16)
        if self._scaler.is_enabled():
            # It comes to life with the first loss, and a rank may have none: more ranks than pieces.
            self._scaler.scale(torch.zeros((), device=self._device))

    def autocast(self) -> AbstractContextManager[None]:
        return nullcontext() if self._dtype is None else torch.autocast(self._device.type, self._dtype)

    def backward(self, loss: torch.Tensor) -> None:
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def step(self, optimizer: torch.optim.Optimizer, gradients: torch.Tensor, clip_norm: float | None) -> None:
        """One step of the optimizer.

        Args:
            optimizer: whose parameters' gradients are views of the next.
            gradients: flat, of the mean loss of the global batch.
            clip_norm: their largest norm (Pascanu et al. 2013, arXiv:1211.5063, algorithm 1); None: any.
        """
        self._scaler.unscale_(optimizer)
        if clip_norm is not None:
            gradients.mul_((clip_norm / gradients.norm()).clamp(max=1.0))
        self._scaler.step(optimizer)
        self._scaler.update()

    def tensors(self) -> dict[str, torch.Tensor]:
        """The scaler's state, by its names in a member's; nothing without a scaler."""
        state = self._scaler.state_dict()
        if not state:
            return {}
        return {
            "scaler/scale": torch.tensor(state["scale"], dtype=torch.float64),
            "scaler/growth_tracker": torch.tensor(state["_growth_tracker"], dtype=torch.int64),
        }

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """The reverse."""
        if self._scaler.is_enabled():
            scale, tracker = tensors["scaler/scale"].item(), int(tensors["scaler/growth_tracker"])
            self.restart()
            self._scaler.load_state_dict({**self._scaler.state_dict(), "scale": scale, "_growth_tracker": tracker})
