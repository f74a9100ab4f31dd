"""Waits that sleep. MPI's own blocking calls spin, which on a full node takes the cores from those who train.

Each wait has an end: a number of seconds, or an event that its owner sets.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from nestedga.protocol.wire import decode, encode

if TYPE_CHECKING:
    from mpi4py import MPI

T = TypeVar("T")
End = float | threading.Event
"""When a wait is given up: after so many seconds, or once this is set, for its epoch or group is over."""
FIRST_NAP_SECONDS, LONGEST_NAP_SECONDS = 50e-6, 2e-3

_abandoned: list[MPI.Request] = []
_abandoning = threading.Lock()


class WaitEnded(Exception):
    """The epoch, or the group, in which something was waited for is over."""


class Arrival(NamedTuple):
    """A message, and the number in its communicator of the rank that sent it."""

    payload: bytearray
    sender: int


def wait_until(poll: Callable[[], T | None], end: End, what: str) -> T:
    """Polls with growing naps (0.05 to 2 ms) until the answer is not None.

    Raises:
        TimeoutError: the seconds are over; it names what was awaited.
        WaitEnded: the event is set.
    """
    began, nap = time.monotonic(), FIRST_NAP_SECONDS
    while (answer := poll()) is None:
        if isinstance(end, threading.Event):
            if end.is_set():
                raise WaitEnded(f"{what} will not come any more")
        elif time.monotonic() - began > end:
            raise TimeoutError(f"waited {end:g} s for {what}")
        time.sleep(nap)
        nap = min(2.0 * nap, LONGEST_NAP_SECONDS)
    return answer


def finish(request: MPI.Request, end: End, what: str) -> None:
    """Waits for one non-blocking operation."""
    try:
        wait_until(lambda: True if request.Test() else None, end, what)
    except (TimeoutError, WaitEnded):
        abandon(request)
        raise


def abandon(*requests: MPI.Request) -> None:
    """Operations that nobody waits for any more are kept until MPI has done with them, for it may use their memory."""
    with _abandoning:
        _abandoned[:] = [request for request in (*_abandoned, *requests) if not request.Test()]


def poll_message(comm: MPI.Comm, source: int, tag: int) -> Arrival | None:
    """The next message, or None; does not wait."""
    from mpi4py import MPI

    status = MPI.Status()
    # Open MPI tells of a new message when it is asked for the second time.
    message = comm.Improbe(source, tag, status) or comm.Improbe(source, tag, status)
    if message is None:
        return None
    payload = bytearray(status.Get_count(MPI.BYTE))
    message.Recv(payload)
    return Arrival(payload, status.Get_source())


def broadcast(comm: MPI.Comm, value: Any, end: End, what: str) -> Any:
    """Collective: a message, or plain data, from the first rank to all."""
    if comm.Get_size() == 1:
        return value
    is_first = comm.Get_rank() == 0
    payload = np.frombuffer(encode(value), np.uint8) if is_first else np.empty(0, np.uint8)
    size = np.array([payload.size], np.int64)
    finish(comm.Ibcast(size, 0), end, what)
    if not is_first:
        payload = np.empty(int(size[0]), np.uint8)
    finish(comm.Ibcast(payload, 0), end, what)
    return value if is_first else decode(payload.data)


def gather_all(comm: MPI.Comm, value: Any, end: End, what: str) -> list[Any]:
    """Collective: every rank's message, or plain data, on all ranks, by rank."""
    if comm.Get_size() == 1:
        return [value]
    payload = np.frombuffer(encode(value), np.uint8)
    sizes = np.empty(comm.Get_size(), np.int64)
    finish(comm.Iallgather(np.array([payload.size], np.int64), sizes), end, what)
    everything = np.empty(int(sizes.sum()), np.uint8)
    finish(comm.Iallgatherv(payload, [everything, sizes.astype(np.int32)]), end, what)
    return [decode(part.data) for part in np.split(everything, np.cumsum(sizes)[:-1])]
