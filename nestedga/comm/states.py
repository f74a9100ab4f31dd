"""States in memory: a leader keeps them, serves them while its group trains, and fetches them from others."""

from __future__ import annotations

import contextlib
import pickle
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from nestedga.comm.waiting import LONGEST_NAP_SECONDS, broadcast, finish, wait_until
from nestedga.state import State, checksum_of

if TYPE_CHECKING:
    from mpi4py import MPI

REQUEST_TAG = 1
ANSWER_TAGS = range(2, 10_000)  # one an answer, in turn, so that a late one is never taken for another
PIECE_BYTES = 1 << 28  # MPI counts are 32-bit; and no single transfer holds the wire for long
STALL_SECONDS = 60.0  # a partner that has not moved for so long is given up


class StateStore:
    """The states of one leader, and the thread that answers other leaders' requests for them.

    Use as a context manager: the thread lives inside. Protocol on the outer communicator: a request names the member
    and a tag; under that tag come a header (manifest and checksum, or None for "not here") and the buffer in pieces.
    """

    def __init__(self, outer: MPI.Comm) -> None:
        self._outer = outer
        self._states: dict[int, State] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="states", daemon=True)
        self._num_requests = 0

    def __enter__(self) -> StateStore:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def put(self, member_id: int, state: State) -> None:
        self._states[member_id] = state

    def get(self, member_id: int) -> State | None:
        return self._states.get(member_id)

    def drop(self, member_ids: Iterable[int]) -> None:
        for member_id in member_ids:
            self._states.pop(member_id, None)

    def fetch(self, member_id: int, holders: Iterable[int]) -> State | None:
        """The state from the first holder (group numbers, best first) that hands in an intact copy; else None."""
        for holder in holders:
            if (state := self._fetch_from(member_id, holder)) is not None:
                return state
        return None

    def _fetch_from(self, member_id: int, holder: int) -> State | None:
        what = f"the state of member {member_id} from group {holder}"
        tag = ANSWER_TAGS[self._num_requests % len(ANSWER_TAGS)]
        self._num_requests += 1
        self._outer.send((member_id, tag), holder, REQUEST_TAG)
        try:
            header = pickle.loads(wait_until(lambda: self._receive(holder, tag), STALL_SECONDS, what))
            if header is None:
                return None
            entries, checksum, num_bytes = header
            buffer = np.empty(num_bytes, np.uint8)
            for start in range(0, num_bytes, PIECE_BYTES):
                finish(self._outer.Irecv(buffer[start : start + PIECE_BYTES], holder, tag), STALL_SECONDS, what)
        except TimeoutError:
            return None  # the next holder, or the disk, may have it
        if checksum_of(entries, buffer) != checksum:
            return None
        buffer.flags.writeable = False
        return State(entries, buffer, checksum)

    def _receive(self, source: int, tag: int) -> bytearray | None:
        from mpi4py import MPI

        status = MPI.Status()
        message = self._outer.Improbe(source, tag, status)
        if message is None:
            return None
        packed = bytearray(status.Get_count(MPI.BYTE))
        message.Recv(packed)
        return packed

    def _serve(self) -> None:
        from mpi4py import MPI

        while not self._stop.is_set():
            status = MPI.Status()
            message = self._outer.improbe(MPI.ANY_SOURCE, REQUEST_TAG, status)
            if message is None:
                time.sleep(LONGEST_NAP_SECONDS)
            else:
                with contextlib.suppress(TimeoutError):  # whoever asked has given up
                    member_id, tag = message.recv()
                    self._send(member_id, tag, status.Get_source())

    def _send(self, member_id: int, tag: int, destination: int) -> None:
        what = f"group {destination} to take the state of member {member_id}"
        state = self._states.get(member_id)
        header = None if state is None else (state.entries, state.checksum, state.buffer.size)
        finish(self._outer.Isend(pickle.dumps(header), destination, tag), STALL_SECONDS, what)
        if state is None:
            return
        for start in range(0, state.buffer.size, PIECE_BYTES):
            finish(self._outer.Isend(state.buffer[start : start + PIECE_BYTES], destination, tag), STALL_SECONDS, what)


def share(inner: MPI.Comm, state: State | None, limit_seconds: float) -> State | None:
    """Collective: the leader's state on every rank of the group, broadcast in one piece."""
    header = broadcast(inner, state and (state.entries, state.checksum, state.buffer.size), limit_seconds, "a state")
    if header is None or inner.Get_size() == 1:
        return state
    entries, checksum, num_bytes = header
    buffer = np.empty(num_bytes, np.uint8) if state is None else state.buffer
    for start in range(0, num_bytes, PIECE_BYTES):
        finish(inner.Ibcast(buffer[start : start + PIECE_BYTES], 0), limit_seconds, "a state")
    return state if state is not None else State(entries, buffer, checksum)
