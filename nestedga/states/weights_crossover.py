"""Breeding of weights: one state made of two.

The second parent gives what the first has too, by name, type and shape; all else, and all counters, are the first's,
whom the lineage follows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nestedga.states.state import Entry, State

Bytes = NDArray[np.uint8]
AVERAGED = ("float16", "float32", "float64")  # whole numbers, such as step counts, have no mean


def average(rng: np.random.Generator, first: State, second: State) -> State:
    """The mean of every tensor of floating-point numbers, optimizer state included.

    The mean of weights that descend from common ancestors is often as good as either (Wortsman et al. 2022, "Model
    soups", arXiv:2203.05482); of weights that do not, it is not.
    """

    def mean(entry: Entry, target: Bytes, given: Bytes) -> None:
        if entry.dtype in AVERAGED and entry.shape:
            mine, theirs = target.view(entry.dtype), given.view(entry.dtype)
            np.add(mine * 0.5, theirs * 0.5, out=mine)  # halves first: no sum overflows

    return _combined(first, second, mean)


def layerwise(rng: np.random.Generator, first: State, second: State) -> State:
    """Each layer (a module's own parameters, statistics and optimizer state) whole from one parent, by a fair coin.

    Args:
        rng: of the coins, one for each layer in the order of the first parent's manifest.
        first: the parent whom the lineage follows.
        second: the other.
    """
    theirs = {entry.name: entry for entry in second.entries}
    from_second = {layer: bool(rng.integers(2)) for layer in dict.fromkeys(_layer(e.name) for e in first.entries)}
    for entry in first.entries:
        if not _alike(entry, theirs.get(entry.name)):
            from_second[_layer(entry.name)] = False

    def choose(entry: Entry, target: Bytes, given: Bytes) -> None:
        if from_second[_layer(entry.name)]:
            target[:] = given

    return _combined(first, second, choose)


WEIGHTS_CROSSOVERS: dict[str, Callable[[np.random.Generator, State, State], State]] = {
    "average": average,
    "layerwise": layerwise,
}


def _combined(first: State, second: State, put: Callable[[Entry, Bytes, Bytes], None]) -> State:
    theirs = {entry.name: entry for entry in second.entries}
    buffer = first.buffer.copy()
    for entry in first.entries:
        other = theirs.get(entry.name)
        if other is not None and _alike(entry, other) and not entry.name.startswith("counters/"):
            put(entry, buffer[entry.offset : entry.offset + entry.num_bytes], second.bytes_of(other))
    return State.seal(first.entries, buffer)


def _alike(entry: Entry, other: Entry | None) -> bool:
    return other is not None and (entry.dtype, entry.shape) == (other.dtype, other.shape)


def _layer(name: str) -> str:
    """``features.0`` of ``weights/features.0.bias`` and of ``optimizer/features.0.bias/momentum_buffer`` alike."""
    kind, _, rest = name.partition("/")
    parameter = rest.rpartition("/")[0] if kind == "optimizer" else rest or kind
    return parameter.rpartition(".")[0]
