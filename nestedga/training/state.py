"""Packing a model and its optimizer into a member's state, and back by name."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator

import torch

from nestedga.state import State

COUNTERS = ("epochs", "steps")  # trained so far along the lineage


def pack(model: torch.nn.Module, optimizer: torch.optim.Optimizer, counters: dict[str, int]) -> State:
    """Weights, batch-norm statistics, optimizer state and counters in one host buffer.

    The optimizer's hyperparameters are left out on purpose: they are the child's genes, never inherited.
    """
    tensors = dict(_tensors(model, optimizer, counters))
    entries, buffer = State.allocate(
        (name, str(t.dtype).removeprefix("torch."), tuple(t.shape), t.numel() * t.element_size())
        for name, t in tensors.items()
    )
    flat = torch.from_numpy(buffer)
    on_gpu = _any_on_gpu(tensors.values())
    # Copies to page-locked memory do not wait for each other. The state itself lies in memory that can be paged: it may
    # be kept for hours.
    target = torch.empty(flat.shape, dtype=flat.dtype, pin_memory=True) if on_gpu else flat
    for entry, tensor in zip(entries, tensors.values(), strict=True):
        part = target[entry.offset : entry.offset + entry.num_bytes]
        part.view(tensor.dtype).view(tensor.shape).copy_(tensor, non_blocking=True)
    if on_gpu:
        torch.cuda.synchronize()
        flat.copy_(target)
    return State.seal(entries, buffer)


def fits(state: State, model: torch.nn.Module) -> bool:
    """Whether a state has something for every weight and statistic of a model."""
    shapes = {entry.name: entry.shape for entry in state.entries}
    return all(shapes.get(f"weights/{name}") == tuple(target.shape) for name, target in model.state_dict().items())


def unpack(state: State, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, int]:
    """Loads by name what fits by shape; what a changed topology has no place for stays as built. Gives the counters."""
    saved = {entry.name: entry for entry in state.entries}
    loaded = model.state_dict()
    flat = _as_tensor(state)
    on_gpu = _any_on_gpu(loaded.values())
    if on_gpu:
        flat = flat.pin_memory()  # a copy: from there, copies to the device do not wait for each other

    def tensor_of(name: str) -> torch.Tensor:
        entry = saved[name]
        part = flat[entry.offset : entry.offset + entry.num_bytes]
        return part.view(getattr(torch, entry.dtype)).view(entry.shape)

    with torch.no_grad():
        for name, target in loaded.items():
            if (entry := saved.get(f"weights/{name}")) and entry.shape == tuple(target.shape):
                target.copy_(tensor_of(entry.name), non_blocking=True)
    optimizer.state.clear()
    parameters = dict(model.named_parameters())
    for entry in state.entries:
        kind, _, rest = entry.name.partition("/")
        name, _, key = rest.rpartition("/")
        weights = saved.get(f"weights/{name}")
        if (
            kind != "optimizer"
            or name not in parameters
            or not weights
            or weights.shape != tuple(parameters[name].shape)
        ):
            continue  # a parameter of another shape begins with fresh weights and a fresh optimizer
        value = tensor_of(entry.name)
        # Step counts live on the CPU, whatever the parameter's device (torch.optim keeps them there).
        device = parameters[name].device if value.dim() else value.device
        optimizer.state[parameters[name]][key] = value.to(device, non_blocking=True, copy=True)
    if on_gpu:
        torch.cuda.synchronize()
    return {
        counter: int(tensor_of(f"counters/{counter}")) if f"counters/{counter}" in saved else 0 for counter in COUNTERS
    }


def _any_on_gpu(tensors: Iterable[torch.Tensor]) -> bool:
    return any(tensor.is_cuda for tensor in tensors)


def _as_tensor(state: State) -> torch.Tensor:
    """The buffer itself, uint8, only to be read; torch has no read-only tensors, and complains of read-only arrays."""
    memory = (ctypes.c_uint8 * state.buffer.size).from_address(state.buffer.ctypes.data)
    return torch.frombuffer(memory, dtype=torch.uint8)


def _tensors(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, counters: dict[str, int]
) -> Iterator[tuple[str, torch.Tensor]]:
    for name, tensor in model.state_dict().items():
        yield f"weights/{name}", tensor
    for name, parameter in model.named_parameters():
        for key, value in sorted(optimizer.state.get(parameter, {}).items()):
            if isinstance(value, torch.Tensor):
                yield f"optimizer/{name}/{key}", value
    for counter in COUNTERS:
        yield f"counters/{counter}", torch.tensor(counters[counter], dtype=torch.int64)
