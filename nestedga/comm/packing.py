"""How a state is sent: a header, then its buffer in pieces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nestedga.protocol.messages import StateHeader
from nestedga.states.state import Entry, State

PIECE_BYTES = 1 << 22  # small enough to lie in a processor's cache still when its checksum is taken


def header_of(member_id: int, state: State) -> StateHeader:
    """What the other side must know before the buffer comes."""
    entries = tuple((entry.name, entry.dtype, entry.shape, entry.offset, entry.num_bytes) for entry in state.entries)
    return StateHeader(member_id, entries, state.checksum, state.buffer.size)


def entries_of(header: StateHeader) -> tuple[Entry, ...]:
    """The manifest in a header."""
    return tuple(Entry(*entry) for entry in header.entries)


def pieces(buffer: NDArray[np.uint8], num_bytes: int) -> list[NDArray[np.uint8]]:
    """A buffer, shape (n,), cut into views of so many bytes; the last may be shorter."""
    return [buffer[start : start + num_bytes] for start in range(0, buffer.size, num_bytes)]
