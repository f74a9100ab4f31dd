"""Inheritance: the state that a child begins with, made of its parents'.

The first parent is the one whom the lineage follows: what the others do not have alike, by name, type and shape, and
all counters, are its own. Every rank of a group makes the child's state by itself, so each way to inherit is a pure
function of its arguments, equal to the bit wherever it is called. A new way is one more entry of ``INHERITANCES``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nestedga.errors import SettingError
from nestedga.states.state import Entry, State

Bytes = NDArray[np.uint8]
AVERAGED = ("float16", "float32", "float64")  # whole numbers, such as step counts, have no mean


@dataclass(frozen=True, slots=True)
class Parent:
    """What a child may take from.

    Attributes:
        state: that the parent ended with.
        genotype: that it was trained with, by which a child of another shape can be aligned with it.
    """

    state: State
    genotype: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Inheritance:
    """A way to inherit.

    Attributes:
        combine: makes the child's state, of its generator, its genotype and its parents, ``num_parents`` or more.
        num_parents: the fewest that it needs.
        new_statistics: the child's weights were never together in one network, so that its batch norms' statistics are
            no parent's and must be measured anew before it is trained.
    """

    combine: Callable[[np.random.Generator, Mapping[str, Any], Sequence[Parent]], State]
    num_parents: int
    new_statistics: bool


def inherit(
    kind: str, rng: np.random.Generator, genotype: Mapping[str, Any], parents: Sequence[Parent]
) -> State | None:
    """The state that a child begins with; None: fresh, for no parent has a state.

    Args:
        kind: a key of ``INHERITANCES``.
        rng: of all draws, in the same state on every rank.
        genotype: the child's.
        parents: those that have a state, the one whom the lineage follows first.

    Raises:
        SettingError: the kind is unknown, or there are too few parents.
    """
    if not parents:
        return None
    way = inheritance_of(kind)
    if len(parents) < way.num_parents:
        raise SettingError(f"inheritance={kind} needs {way.num_parents} parents with a state and has {len(parents)}")
    return way.combine(rng, genotype, parents)


def inheritance_of(kind: str) -> Inheritance:
    """The way to inherit of that name.

    Raises:
        SettingError: there is none.
    """
    if kind not in INHERITANCES:
        raise SettingError(f"inheritance={kind!r} is unknown; known: {', '.join(INHERITANCES)}")
    return INHERITANCES[kind]


def clone(rng: np.random.Generator, genotype: Mapping[str, Any], parents: Sequence[Parent]) -> State:
    """The first parent's state as it is."""
    return parents[0].state


def average(rng: np.random.Generator, genotype: Mapping[str, Any], parents: Sequence[Parent]) -> State:
    """The mean of every tensor of floating-point numbers of the first two parents, optimizer state included.

    The mean of weights that descend from common ancestors is often as good as either (Wortsman et al. 2022, "Model
    soups", arXiv:2203.05482); of weights that do not, it is not.
    """

    def mean(entry: Entry, target: Bytes, given: Bytes) -> None:
        if entry.dtype in AVERAGED and entry.shape:
            mine, theirs = target.view(entry.dtype), given.view(entry.dtype)
            np.add(mine * 0.5, theirs * 0.5, out=mine)  # halves first: no sum overflows

    return _combined(parents[0].state, parents[1].state, mean)


def layerwise(rng: np.random.Generator, genotype: Mapping[str, Any], parents: Sequence[Parent]) -> State:
    """Each layer (a module's own parameters, statistics and optimizer state) whole from one parent, by a fair coin.

    There is one coin for each layer, in the order of the first parent's manifest.
    """
    first, second = parents[0].state, parents[1].state
    theirs = {entry.name: entry for entry in second.entries}
    from_second = {layer: bool(rng.integers(2)) for layer in dict.fromkeys(_layer(e.name) for e in first.entries)}
    for entry in first.entries:
        if not _alike(entry, theirs.get(entry.name)):
            from_second[_layer(entry.name)] = False

    def choose(entry: Entry, target: Bytes, given: Bytes) -> None:
        if from_second[_layer(entry.name)]:
            target[:] = given

    return _combined(first, second, choose)


INHERITANCES = {
    "clone": Inheritance(clone, num_parents=1, new_statistics=False),
    "average": Inheritance(average, num_parents=2, new_statistics=True),
    "layerwise": Inheritance(layerwise, num_parents=2, new_statistics=True),
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
