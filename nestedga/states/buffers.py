"""Memory for states, used again: pages touched for the first time can cost more than what is copied into them."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
POOLED_BYTES = 1 << 20  # what is smaller, the C library keeps by itself
MOST_FREE = 2  # in an interval a group fetches one state and packs one
MOST_OF_NEED = 1.25  # memory that is larger than this times what is wanted is left to others

_free: deque[Bytes] = deque(maxlen=MOST_FREE)


def empty(num_bytes: int) -> Bytes:
    """An array of shape (num_bytes,) to be filled; its memory is used again when no array sees it any more."""
    if num_bytes < POOLED_BYTES:
        return np.empty(num_bytes, np.uint8)
    return np.asarray(_Lease(_take(num_bytes), num_bytes))


class _Lease:
    """What all arrays on one piece of memory keep alive between them."""

    def __init__(self, memory: Bytes, num_bytes: int) -> None:
        self._memory = memory
        self.__array_interface__: dict[str, Any] = memory[:num_bytes].__array_interface__

    def __del__(self) -> None:
        _free.append(self._memory)


def _take(num_bytes: int) -> Bytes:
    for _ in range(len(_free)):
        try:
            memory = _free.popleft()
        except IndexError:  # another thread was faster
            break
        if num_bytes <= memory.size <= MOST_OF_NEED * num_bytes:
            return memory
        _free.append(memory)
    return np.empty(num_bytes, np.uint8)
