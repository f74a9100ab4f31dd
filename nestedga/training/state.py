"""Packing a model and its optimizer into a member's state, and back by name."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator, Mapping

import torch

from nestedga.states.state import State

COUNTERS = ("steps", "samples")  # trained so far along the lineage


def pack(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    counters: Mapping[str, int],
    others: Mapping[str, torch.Tensor] | None = None,
) -> State:
    """Weights, batch-norm statistics, optimizer state, counters and others by their names in one host buffer.

    The optimizer's hyperparameters are left out on purpose: they are the child's genes, never inherited.
    """
    tensors = {**dict(_tensors(model, optimizer, counters)), **(others or {})}
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


def unpack(
    state: State,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    others: Mapping[str, torch.Tensor] | None = None,
) -> dict[str, int]:
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
        targets = {**{f"weights/{name}": tensor for name, tensor in loaded.items()}, **(others or {})}
        for name, target in targets.items():
            if (entry := saved.get(name)) and entry.shape == tuple(target.shape):
                target.copy_(tensor_of(entry.name), non_blocking=True)
    optimizer.state.clear()
    fused = any(group.get("fused") or group.get("capturable") for group in optimizer.param_groups)
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
        value, parameter = tensor_of(entry.name), parameters[name]
        if key == "step":  # on the CPU unless fused, as torch.optim has it
            live = value.to(parameter.device if fused else "cpu", copy=True)
        elif value.shape == parameter.shape:  # also its strides, so that a step runs over both in one order
            live = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value, non_blocking=True)
        else:
            live = value.to(parameter.device, non_blocking=True, copy=True)
        optimizer.state[parameter][key] = live
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
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, counters: Mapping[str, int]
) -> Iterator[tuple[str, torch.Tensor]]:
    for name, tensor in model.state_dict().items():
        yield f"weights/{name}", tensor
    for name, parameter in model.named_parameters():
        for key, value in sorted(optimizer.state.get(parameter, {}).items()):
            if isinstance(value, torch.Tensor):
                yield f"optimizer/{name}/{key}", value
    for counter in COUNTERS:
        yield f"counters/{counter}", torch.tensor(counters[counter], dtype=torch.int64)
