"""States on their way: a leader serves those it keeps while its group trains, and fetches others from other leaders."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from nestedga.comm.epoch import Epoch
from nestedga.comm.fetching import REQUEST_TAG, Fetcher
from nestedga.comm.packing import PIECE_BYTES, header_of, pieces
from nestedga.comm.waiting import FIRST_NAP_SECONDS, abandon, poll_message
from nestedga.comm.world import World
from nestedga.protocol.messages import Prefetch, Source, StateRequest
from nestedga.protocol.wire import decode, encode
from nestedga.states.state import State

if TYPE_CHECKING:
    from mpi4py import MPI

STALL_SECONDS = 60.0  # a holder that has not moved for so long is given up by who asked it
# Between two looks of a service thread with nothing to do; longer, the longer that lasts. One takes some 0.04 ms of a
# core that others train on; a request waits for half a nap on average.
IDLE_SECONDS, IDLE_SHARE, LONGEST_IDLE_SECONDS = 3e-3, 0.003, 8e-3
PREFETCH_SECONDS = 0.02  # between two looks for what is to be fetched ahead
MOST_REMEMBERED = 1000  # states that were here once


class Cache(Protocol):
    """Where a leader keeps states."""

    def put(self, member_id: int, state: State, *, own: bool) -> None: ...

    def get(self, member_id: int) -> State | None: ...

    def drop(self, member_ids: Iterable[int]) -> None: ...


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request that is not answered yet, the world rank it came from, and when it is to be answered at the latest."""

    request: StateRequest
    asker: int
    deadline: float


class StateExchange:
    """Sends one leader's states to others, and gets theirs.

    Protocol on a communicator of all ranks: a request names the member and a tag; under that tag come a header, or None
    for "not here", and the buffer in pieces, at the pace of the one who asked. A request for a state that is still on
    its way here waits for it: so a state spreads like a tree.

    What is on its way when an epoch ends is given up on both sides; who asked asks the same holder again in the next.

    Args:
        world: all ranks.
        cache: where states are kept.
        poll_prefetch: gives what the coordinator wants to be fetched ahead or dropped, or None.
        stall_seconds: a holder that has not moved for so long is given up.
    """

    def __init__(
        self,
        world: World,
        cache: Cache,
        poll_prefetch: Callable[[], Prefetch | None],
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self._world = world
        self._cache = cache
        self._poll_prefetch = poll_prefetch
        self._stall_seconds = stall_seconds
        self._lock = threading.Lock()
        self._coming: dict[int, threading.Event] = {}  # set when a fetch that goes on has ended
        self._remembered: dict[int, None] = {}  # states that were here or should have come, the oldest first
        self._waiting: deque[Waiting] = deque()
        self._sending: list[deque[MPI.Request]] = []
        self._stop = threading.Event()
        self._fetcher = Fetcher(world, stall_seconds, self._stop)
        self.num_sent = 0
        self._prefetching: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._serve, name="states", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Serves no more, and gives up what is being fetched."""
        self._stop.set()
        self._thread.join()  # which begins prefetches
        for thread in self._prefetching:
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
            coming.wait()  # the thread that fetches it sets this, whatever happens: it waits with limits, and for close

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
                if (state := self._fetcher.fetch(source.member_id, holder)) is not None:
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

    # The other side, in its own thread

    def _serve(self) -> None:
        nap, last_moved, next_prefetch = FIRST_NAP_SECONDS, time.monotonic(), 0.0
        epoch = self._world.epoch
        while not self._stop.is_set():
            if self._world.epoch is not epoch:
                epoch = self._world.epoch
                self._cut_off()
            moved = self._take_request(epoch)
            if self._waiting:
                moved |= self._answer_all(epoch)
            if self._sending:
                moved |= self._send_on()
            if (now := time.monotonic()) > next_prefetch:
                self._begin_prefetch()
                next_prefetch = now + PREFETCH_SECONDS
            if moved:
                nap, last_moved = FIRST_NAP_SECONDS, now
            else:
                longest = min(max(IDLE_SECONDS, IDLE_SHARE * (now - last_moved)), LONGEST_IDLE_SECONDS)
                nap = min(2.0 * nap, longest)
            time.sleep(nap)

    def _cut_off(self) -> None:
        """The epoch is over: whoever still wants something asks again."""
        self._waiting.clear()
        abandon(*(request for requests in self._sending for request in requests))
        self._sending.clear()

    # Each of these is one look, and tells whether something moved.

    def _take_request(self, epoch: Epoch) -> bool:
        from mpi4py import MPI

        # Open MPI's probe looks at what has come already, then takes in what is new: the second one sees it.
        if not any(epoch.states.Iprobe(MPI.ANY_SOURCE, REQUEST_TAG) for _ in range(2)):
            return False
        arrival = poll_message(epoch.states, MPI.ANY_SOURCE, REQUEST_TAG)
        assert arrival is not None  # for nobody else looks for requests
        request = decode(arrival.payload)
        if request.epoch == epoch.number:
            deadline = time.monotonic() + self._stall_seconds / 2  # before the other gives up
            self._waiting.append(Waiting(request, arrival.sender, deadline))
        return True

    def _answer_all(self, epoch: Epoch) -> bool:
        all_waiting, self._waiting = self._waiting, deque()
        for waiting in all_waiting:
            may_come = self._may_come(waiting)  # asked first: it may arrive between the two
            state = self._cache.get(waiting.request.member_id)
            if state is not None or not may_come:
                self._begin_sending(epoch, state, waiting)
            else:
                self._waiting.append(waiting)
        return len(self._waiting) < len(all_waiting)

    def _may_come(self, waiting: Waiting) -> bool:
        """Whether to wait for a state that is not here: it is on its way, or the order that asks for it is."""
        member_id = waiting.request.member_id
        with self._lock:
            gone = member_id in self._remembered and member_id not in self._coming
        return not gone and time.monotonic() < waiting.deadline

    def _begin_sending(self, epoch: Epoch, state: State | None, waiting: Waiting) -> None:
        """All at once: the one who asked takes the pieces at its own pace."""
        header = None if state is None else header_of(waiting.request.member_id, state)
        parts = [np.frombuffer(encode(header), np.uint8)]
        if state is not None:
            self.num_sent += 1
            parts += pieces(state.buffer, PIECE_BYTES)
        tag = waiting.request.tag
        self._sending.append(deque(epoch.states.Isend(part, waiting.asker, tag) for part in parts))

    def _send_on(self) -> bool:
        moved = False
        for requests in self._sending:
            while requests and requests[0].Test():
                requests.popleft()
                moved = True
        self._sending = [requests for requests in self._sending if requests]
        return moved

    def _begin_prefetch(self) -> None:
        prefetch = self._poll_prefetch()
        if prefetch is None:
            return
        self.drop(prefetch.drop)
        if prefetch.sources:
            self._prefetching = [thread for thread in self._prefetching if thread.is_alive()]
            thread = threading.Thread(target=self._obtain_all, args=(prefetch.sources,), name="prefetch", daemon=True)
            self._prefetching.append(thread)
            thread.start()

    def _obtain_all(self, sources: Iterable[Source]) -> None:
        for source in sources:
            self.obtain(source)
