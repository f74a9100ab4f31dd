"""States on their way: a leader serves those it keeps while its group trains, and fetches others from other leaders."""

from __future__ import annotations

import itertools
import pickle
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from nestedga.comm.waiting import FIRST_NAP_SECONDS, LONGEST_NAP_SECONDS, broadcast, finish, poll_message
from nestedga.protocol.messages import Prefetch, Source
from nestedga.states import buffers
from nestedga.states.state import State, checksum_of

if TYPE_CHECKING:
    from mpi4py import MPI

T = TypeVar("T")
REQUEST_TAG = 1
FIRST_ANSWER_TAG = 2
LEAST_TAGS = 32_767  # what the standard promises (MPI_TAG_UB)
PIECE_BYTES = 1 << 22  # small enough to lie in a processor's cache still when its checksum is taken
BROADCAST_BYTES = 1 << 28  # MPI counts are 32-bit
STALL_SECONDS = 60.0  # a partner that has not moved for so long is given up
# Between two looks of a service thread with nothing to do; longer, the longer that lasts. One takes some 0.04 ms of a
# core that others train on; a request waits for half a nap on average.
IDLE_SECONDS, IDLE_SHARE, LONGEST_IDLE_SECONDS = 3e-3, 0.003, 8e-3
AHEAD_SECONDS = 0.02  # between two looks for what is to be fetched ahead
MOST_REMEMBERED = 1000  # states that were here once


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

    Protocol on a communicator of all ranks: a request names the member and a tag; under that tag come a header (member,
    manifest, checksum and size, or None for "not here") and the buffer in pieces, at the pace of the one who asked. A
    request for a state that is still on its way here waits for it: so a state spreads like a tree.

    Args:
        comm: all ranks.
        cache: where states are kept.
        poll_prefetch: gives what the coordinator wants to be fetched ahead or dropped, or None.
        stall_seconds: a holder that has not moved for so long is given up.
    """

    def __init__(
        self,
        comm: MPI.Comm,
        cache: Cache,
        poll_prefetch: Callable[[], Prefetch | None],
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        from mpi4py import MPI

        self._comm = comm
        self._cache = cache
        self._poll_ahead = poll_prefetch
        self._stall_seconds = stall_seconds
        # One tag an answer, so that a late one is never taken for another.
        num_tags = (comm.Get_attr(MPI.TAG_UB) or LEAST_TAGS) - FIRST_ANSWER_TAG
        self._tags = (FIRST_ANSWER_TAG + number % num_tags for number in itertools.count())
        self._lock = threading.Lock()
        self._coming: dict[int, threading.Event] = {}  # set when a fetch that goes on has ended
        self._remembered: dict[int, None] = {}  # states that were here or should have come, the oldest first
        self._waiting: deque[Request] = deque()
        self._sending: list[deque[MPI.Request]] = []
        self._given_up: list[MPI.Request] = []  # they hold memory that a late answer may still be written to
        self._stop = threading.Event()
        self.num_sent = 0
        self._aheads: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._serve, name="states", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Serves no more, and gives up what is being fetched."""
        self._stop.set()
        for thread in (self._thread, *self._aheads):
            thread.join()

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

    def keep(self, member_id: int, state: State, *, own: bool) -> None:
        """Keeps a state that was made here, or read from disk."""
        self._cache.put(member_id, state, own=own)
        self._remember(member_id)

    def drop(self, member_ids: Iterable[int]) -> None:
        """Lets states go; one that is being sent is sent to its end."""
        self._cache.drop(member_ids)

    def _bring(self, source: Source, ended: threading.Event) -> State | None:
        state = None
        try:
            for holder in source.holders:
                if (state := self._fetch(source.member_id, holder)) is not None:
                    self._cache.put(source.member_id, state, own=False)
                    break
            return state
        finally:
            if source.holders:  # else it is read from disk now, and whoever asks for it may wait for that
                self._remember(source.member_id)
            with self._lock:
                del self._coming[source.member_id]
            ended.set()

    def _remember(self, member_id: int) -> None:
        with self._lock:
            self._remembered.pop(member_id, None)
            self._remembered[member_id] = None
            if len(self._remembered) > MOST_REMEMBERED:
                del self._remembered[next(iter(self._remembered))]

    def _fetch(self, member_id: int, holder: int) -> State | None:
        what = f"the state of member {member_id} from world rank {holder}"
        with self._lock:
            tag = next(self._tags)
        self._comm.send((member_id, tag), holder, REQUEST_TAG)
        try:
            header = pickle.loads(self._await(lambda: poll_message(self._comm, holder, tag), what))
            if header is None or header[0] != member_id:
                return None
            _, entries, checksum, num_bytes = header
            buffer = buffers.empty(num_bytes)
            if checksum_of(entries, self._arriving(buffer, holder, tag, what)) != checksum:
                return None
        except TimeoutError:
            return None  # the next holder, or the disk, may have it
        buffer.flags.writeable = False
        return State(entries, buffer, checksum)

    def _arriving(self, buffer: NDArray[np.uint8], holder: int, tag: int, what: str) -> Iterator[NDArray[np.uint8]]:
        """The pieces of a buffer, one after another as they come in."""
        for piece in _pieces(buffer, PIECE_BYTES):
            self._finish(self._comm.Irecv(piece, holder, tag), what)
            yield piece

    def _finish(self, receive: MPI.Request, what: str) -> None:
        try:
            self._await(lambda: receive.Test() or None, what)
        except TimeoutError:
            receive.Cancel()
            self._given_up.append(receive)
            raise

    def _await(self, poll: Callable[[], T | None], what: str) -> T:
        """Polls until the answer is not None; late by an eighth of the time that it took, at most."""
        began = time.monotonic()
        while (answer := poll()) is None:
            waited = time.monotonic() - began
            if self._stop.is_set() or waited > self._stall_seconds:
                raise TimeoutError(f"waited {waited:.0f} s for {what}")
            time.sleep(min(max(waited / 8, FIRST_NAP_SECONDS), LONGEST_NAP_SECONDS))
        return answer

    # The other side, in its own thread

    def _serve(self) -> None:
        nap, last_moved, next_ahead = FIRST_NAP_SECONDS, time.monotonic(), 0.0
        while not self._stop.is_set():
            moved = self._take_request()
            if self._waiting:
                moved |= self._answer_all()
            if self._sending:
                moved |= self._send_on()
            if (now := time.monotonic()) > next_ahead:
                self._begin_ahead()
                next_ahead = now + AHEAD_SECONDS
            if moved:
                nap, last_moved = FIRST_NAP_SECONDS, now
            else:
                longest = min(max(IDLE_SECONDS, IDLE_SHARE * (now - last_moved)), LONGEST_IDLE_SECONDS)
                nap = min(2.0 * nap, longest)
            time.sleep(nap)

    # Each of these is one look, and tells whether something moved.

    def _take_request(self) -> bool:
        from mpi4py import MPI

        # Open MPI's probe looks at what has come already, then takes in what is new: the second one sees it.
        if not any(self._comm.Iprobe(MPI.ANY_SOURCE, REQUEST_TAG) for _ in range(2)):
            return False
        status = MPI.Status()
        member_id, tag = self._comm.recv(source=MPI.ANY_SOURCE, tag=REQUEST_TAG, status=status)
        deadline = time.monotonic() + self._stall_seconds / 2  # before the other gives up
        self._waiting.append(Request(member_id, tag, status.Get_source(), deadline))
        return True

    def _answer_all(self) -> bool:
        requests, self._waiting = self._waiting, deque()
        for request in requests:
            may_come = self._may_come(request)  # asked first: it may arrive between the two
            state = self._cache.get(request.member_id)
            if state is not None or not may_come:
                self._begin_sending(state, request)
            else:
                self._waiting.append(request)
        return len(self._waiting) < len(requests)

    def _may_come(self, request: Request) -> bool:
        """Whether to wait for a state that is not here: it is on its way, or the order that asks for it is."""
        with self._lock:
            gone = request.member_id in self._remembered and request.member_id not in self._coming
        return not gone and time.monotonic() < request.deadline

    def _begin_sending(self, state: State | None, request: Request) -> None:
        """All at once: the one who asked takes the pieces at its own pace."""
        header = None if state is None else (request.member_id, state.entries, state.checksum, state.buffer.size)
        parts = [np.frombuffer(pickle.dumps(header), np.uint8)]
        if state is not None:
            self.num_sent += 1
            parts += _pieces(state.buffer, PIECE_BYTES)
        self._sending.append(deque(self._comm.Isend(part, request.leader, request.tag) for part in parts))

    def _send_on(self) -> bool:
        moved = False
        for requests in self._sending:
            while requests and requests[0].Test():
                requests.popleft()
                moved = True
        self._sending = [requests for requests in self._sending if requests]
        return moved

    def _begin_ahead(self) -> None:
        ahead = self._poll_ahead()
        if ahead is None:
            return
        self.drop(ahead.drop)
        if ahead.sources:
            self._aheads = [thread for thread in self._aheads if thread.is_alive()]
            thread = threading.Thread(target=self._obtain_all, args=(ahead.sources,), name="ahead", daemon=True)
            self._aheads.append(thread)
            thread.start()

    def _obtain_all(self, sources: Iterable[Source]) -> None:
        for source in sources:
            self.obtain(source)


def share(inner: MPI.Comm, state: State | None, limit_seconds: float) -> State | None:
    """Collective: the leader's state on every rank of the group."""
    header = broadcast(inner, state and (state.entries, state.checksum, state.buffer.size), limit_seconds, "a state")
    if header is None or inner.Get_size() == 1:
        return state
    entries, checksum, num_bytes = header
    buffer = buffers.empty(num_bytes) if state is None else state.buffer
    for piece in _pieces(buffer, BROADCAST_BYTES):
        finish(inner.Ibcast(piece, 0), limit_seconds, "a state")
    buffer.flags.writeable = False
    return state if state is not None else State(entries, buffer, checksum)


def _pieces(buffer: NDArray[np.uint8], num_bytes: int) -> list[NDArray[np.uint8]]:
    return [buffer[start : start + num_bytes] for start in range(0, buffer.size, num_bytes)]
