"""Waits that sleep. MPI's own blocking calls spin, which on a full node takes the cores from those who train."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from mpi4py import MPI

T = TypeVar("T")
FIRST_NAP_SECONDS, LONGEST_NAP_SECONDS = 50e-6, 2e-3


def wait_until(poll: Callable[[], T | None], limit_seconds: float, what: str) -> T:
    """Polls with growing naps (0.05 to 2 ms) until the answer is not None.

    Raises:
        TimeoutError: naming what was awaited.
    """
    deadline, nap = time.monotonic() + limit_seconds, FIRST_NAP_SECONDS
    while (answer := poll()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {limit_seconds:g} s for {what}")
        time.sleep(nap)
        nap = min(2.0 * nap, LONGEST_NAP_SECONDS)
    return answer


def finish(request: MPI.Request, limit_seconds: float, what: str) -> None:
    """Waits for one non-blocking operation."""
    wait_until(lambda: True if request.Test() else None, limit_seconds, what)


def poll_message(comm: MPI.Comm, source: int, tag: int) -> bytearray | None:
    """The next message, or None; does not wait."""
    from mpi4py import MPI

    status = MPI.Status()
    # Open MPI tells of a new message when it is asked for the second time.
    message = comm.Improbe(source, tag, status) or comm.Improbe(source, tag, status)
    if message is None:
        return None
    payload = bytearray(status.Get_count(MPI.BYTE))
    message.Recv(payload)
    return payload


def broadcast(comm: MPI.Comm, value: Any, limit_seconds: float, what: str, root: int = 0) -> Any:
    """Collective: any picklable value from the root to all."""
    if comm.Get_size() == 1:
        return value
    payload = np.frombuffer(pickle.dumps(value), np.uint8) if comm.Get_rank() == root else np.empty(0, np.uint8)
    size = np.array([payload.size], np.int64)
    finish(comm.Ibcast(size, root), limit_seconds, what)
    if comm.Get_rank() == root:
        finish(comm.Ibcast(payload.copy(), root), limit_seconds, what)
        return value
    payload = np.empty(int(size[0]), np.uint8)
    finish(comm.Ibcast(payload, root), limit_seconds, what)
    return pickle.loads(payload.tobytes())


def gather_all(comm: MPI.Comm, value: Any, limit_seconds: float, what: str) -> list[Any]:
    """Collective: every rank's picklable value on all ranks, by rank."""
    if comm.Get_size() == 1:
        return [value]
    payload = np.frombuffer(pickle.dumps(value), np.uint8).copy()
    sizes = np.empty(comm.Get_size(), np.int64)
    finish(comm.Iallgather(np.array([payload.size], np.int64), sizes), limit_seconds, what)
    everything = np.empty(int(sizes.sum()), np.uint8)
    finish(comm.Iallgatherv(payload, [everything, sizes.astype(np.int32)]), limit_seconds, what)
    return [pickle.loads(part.tobytes()) for part in np.split(everything, np.cumsum(sizes)[:-1])]
