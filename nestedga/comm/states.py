"""States on their way: a leader serves those it keeps while its group trains, and fetches others from other leaders."""

from __future__ import annotations

import contextlib
import itertools
import pickle
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from nestedga.comm.waiting import LONGEST_NAP_SECONDS, broadcast, finish, wait_until
from nestedga.messages import Ahead, Source
from nestedga.state import State, checksum_of

if TYPE_CHECKING:
    from mpi4py import MPI

REQUEST_TAG = 1
ANSWER_TAGS = range(2, 10_000)  # one an answer, in turn, so that a late one is never taken for another
PIECE_BYTES = 1 << 28  # MPI counts are 32-bit; and no single transfer holds the wire for long
STALL_SECONDS = 60.0  # a partner that has not moved for so long is given up


class Cache(Protocol):
    """Where a leader keeps states."""

    def put(self, member_id: int, state: State, *, own: bool) -> None: ...

    def get(self, member_id: int) -> State | None: ...

    def drop(self, member_ids: Iterable[int]) -> None: ...


class Request(NamedTuple):
    """A leader wants a state, under a tag, before a deadline."""

    member_id: int
    tag: int
    leader: int
    deadline: float


class StateExchange:
    """Sends one leader's states to others, and gets theirs.

    Protocol on a communicator of all ranks: a request names the
    member and a tag; under that tag come a header (manifest and checksum, or None for "not here") and the buffer in
    pieces. A request for a state that is still on its way here waits for it: so a state spreads like a tree.

    Args:
        comm: all ranks.
        cache: where states are kept.
        poll_ahead: gives what the coordinator wants to be fetched ahead, or None.
    """

    def __init__(self, comm: MPI.Comm, cache: Cache, poll_ahead: Callable[[], Ahead | None]) -> None:
        self._comm = comm
        self._cache = cache
        self._poll_ahead = poll_ahead
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._coming: dict[int, threading.Event] = {}  # set when a fetch that goes on has ended
        self._missed: set[int] = set()  # states that were here or should have come, and are not
        self._waiting: deque[Request] = deque()
        self._stop = threading.Event()
        self.num_sent = 0
        self._thread = threading.Thread(target=self._serve, name="states", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Serves no more."""
        self._stop.set()
        self._thread.join()

    def obtain(self, source: Source) -> State | None:
        """A state: kept here already, on its way, or from the first holder that hands in an intact copy; else None."""
        while True:
            state = self._cache.get(source.member_id)
            if state is not None:
                return state
            with self._lock:
                coming = self._coming.get(source.member_id)
                if coming is None:
                    self._coming[source.member_id] = ended = threading.Event()
            if coming is None:
                return self._bring(source, ended)
            coming.wait()  # its owner is a fetch with limits of its own

    def _bring(self, source: Source, ended: threading.Event) -> State | None:
        state = None
        try:
            for holder in source.holders:
                if (state := self._fetch(source.member_id, holder)) is not None:
                    self._cache.put(source.member_id, state, own=False)
                    break
            return state
        finally:
            with self._lock:
                del self._coming[source.member_id]
                if state is None:
                    self._missed.add(source.member_id)
            ended.set()

    def keep(self, member_id: int, state: State, *, own: bool) -> None:
        """Keeps a state that was made here, or read from disk."""
        self._cache.put(member_id, state, own=own)
        self._missed.discard(member_id)

    def drop(self, member_ids: Iterable[int]) -> None:
        self._cache.drop(member_ids)
        self._missed.difference_update(member_ids)

    def _fetch(self, member_id: int, holder: int) -> State | None:
        what = f"the state of member {member_id} from world rank {holder}"
        tag = ANSWER_TAGS[next(self._numbers) % len(ANSWER_TAGS)]
        self._comm.send((member_id, tag), holder, REQUEST_TAG)
        try:
            header = pickle.loads(wait_until(lambda: self._receive(holder, tag), STALL_SECONDS, what))
            if header is None:
                return None
            entries, checksum, num_bytes = header
            buffer = np.empty(num_bytes, np.uint8)
            for start in range(0, num_bytes, PIECE_BYTES):
                finish(self._comm.Irecv(buffer[start : start + PIECE_BYTES], holder, tag), STALL_SECONDS, what)
        except TimeoutError:
            return None  # the next holder, or the disk, may have it
        if checksum_of(entries, buffer) != checksum:
            return None
        buffer.flags.writeable = False
        return State(entries, buffer, checksum)

    def _receive(self, source: int, tag: int) -> bytearray | None:
        from mpi4py import MPI

        status = MPI.Status()
        message = self._comm.Improbe(source, tag, status)
        if message is None:
            return None
        packed = bytearray(status.Get_count(MPI.BYTE))
        message.Recv(packed)
        return packed

    # The other side, in its own thread

    def _serve(self) -> None:
        from mpi4py import MPI

        while not self._stop.is_set():
            idle = True
            status = MPI.Status()
            message = self._comm.improbe(MPI.ANY_SOURCE, REQUEST_TAG, status)
            if message is not None:
                idle = False
                member_id, tag = message.recv()
                self._waiting.append(Request(member_id, tag, status.Get_source(), time.monotonic() + STALL_SECONDS / 2))
            for _ in range(len(self._waiting)):
                request = self._waiting.popleft()
                idle &= not self._answer(request)
            if (ahead := self._poll_ahead()) is not None:
                idle = False
                threading.Thread(target=self._obtain_all, args=(ahead.sources,), name="ahead", daemon=True).start()
            if idle:
                time.sleep(LONGEST_NAP_SECONDS)

    def _obtain_all(self, sources: Iterable[Source]) -> None:
        for source in sources:
            self.obtain(source)

    def _answer(self, request: Request) -> bool:
        """Answers, or has the request wait for a state that is still to come; True where it was answered."""
        state = self._cache.get(request.member_id)
        if state is None and request.member_id not in self._missed and time.monotonic() < request.deadline:
            self._waiting.append(request)
            return False
        with contextlib.suppress(TimeoutError):  # whoever asked has given up
            self._send(state, request)
        return True

    def _send(self, state: State | None, request: Request) -> None:
        what = f"world rank {request.leader} to take the state of member {request.member_id}"
        header = None if state is None else (state.entries, state.checksum, state.buffer.size)
        finish(self._comm.Isend(pickle.dumps(header), request.leader, request.tag), STALL_SECONDS, what)
        if state is None:
            return
        self.num_sent += 1
        for start in range(0, state.buffer.size, PIECE_BYTES):
            piece = state.buffer[start : start + PIECE_BYTES]
            finish(self._comm.Isend(piece, request.leader, request.tag), STALL_SECONDS, what)


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
