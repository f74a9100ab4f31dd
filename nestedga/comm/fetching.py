"""A state on its way here: asked for, taken in piece by piece, checked."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from nestedga.comm.epoch import Epoch
from nestedga.comm.packing import PIECE_BYTES, entries_of, pieces
from nestedga.comm.waiting import FIRST_NAP_SECONDS, LONGEST_NAP_SECONDS, WaitEnded, abandon, poll_message
from nestedga.comm.world import World
from nestedga.protocol.messages import StateHeader, StateRequest
from nestedga.protocol.wire import decode, encode
from nestedga.states import buffers
from nestedga.states.state import State, checksum_of

if TYPE_CHECKING:
    from mpi4py import MPI

T = TypeVar("T")
REQUEST_TAG = 1
FIRST_ANSWER_TAG = 2
LEAST_TAGS = 32_767  # what the standard promises (MPI_TAG_UB)


class Fetcher:
    """Fetches states from other leaders; by any number of threads.

    Args:
        world: all ranks.
        stall_seconds: a holder that has not moved for so long is given up.
        stop: once set, all fetches are given up.
    """

    def __init__(self, world: World, stall_seconds: float, stop: threading.Event) -> None:
        from mpi4py import MPI

        self._world = world
        self._stall_seconds = stall_seconds
        self._stop = stop
        # One tag an answer, so that a late one is never taken for another.
        num_tags = (world.epoch.states.Get_attr(MPI.TAG_UB) or LEAST_TAGS) - FIRST_ANSWER_TAG
        self._tags = (FIRST_ANSWER_TAG + number % num_tags for number in itertools.count())
        self._lock = threading.Lock()

    def fetch(self, member_id: int, holder: int) -> State | None:
        """Asks one holder; again where the epoch ends before it has answered.

        Gives None where it has not the state, hands in a damaged one, or is silent for too long.
        """
        epoch, state = self._world.epoch, self._fetch_in(self._world.epoch, member_id, holder)
        while state is None and epoch is not self._world.epoch:
            epoch = self._world.epoch
            state = self._fetch_in(epoch, member_id, holder)
        return state

    def _fetch_in(self, epoch: Epoch, member_id: int, holder: int) -> State | None:
        if holder not in epoch.world_ranks:
            return None
        partner, what = epoch.world_ranks[holder], f"the state of member {member_id} from world rank {holder}"
        with self._lock:
            tag = next(self._tags)
        question = epoch.states.Isend(encode(StateRequest(epoch.number, member_id, tag)), partner, REQUEST_TAG)
        try:
            header = decode(self._await(epoch, lambda: poll_message(epoch.states, partner, tag), what).payload)
            if not isinstance(header, StateHeader) or header.member_id != member_id:
                return None
            buffer, entries = buffers.empty(header.num_bytes), entries_of(header)
            arriving = self._arriving(epoch, buffer, partner, tag, what)
            if checksum_of(entries, arriving) != header.checksum:
                return None
        except (TimeoutError, WaitEnded):
            return None  # the next holder, or the disk, may have it
        finally:
            abandon(question)
        buffer.flags.writeable = False
        return State(entries, buffer, header.checksum)

    def _arriving(
        self, epoch: Epoch, buffer: NDArray[np.uint8], partner: int, tag: int, what: str
    ) -> Iterator[NDArray[np.uint8]]:
        """The pieces of a buffer, one after another as they come in."""
        for piece in pieces(buffer, PIECE_BYTES):
            self._finish(epoch, epoch.states.Irecv(piece, partner, tag), what)
            yield piece

    def _finish(self, epoch: Epoch, receive: MPI.Request, what: str) -> None:
        try:
            self._await(epoch, lambda: receive.Test() or None, what)
        except (TimeoutError, WaitEnded):
            receive.Cancel()
            abandon(receive)
            raise

    def _await(self, epoch: Epoch, poll: Callable[[], T | None], what: str) -> T:
        """Polls until the answer is not None; late by an eighth of the time that it took, at most.

        Raises:
            TimeoutError: the partner is silent, or nobody wants states any more.
            WaitEnded: the epoch is over.
        """
        began = time.monotonic()
        while (answer := poll()) is None:
            waited = time.monotonic() - began
            if self._stop.is_set() or waited > self._stall_seconds:
                raise TimeoutError(f"waited {waited:.0f} s for {what}")
            if epoch.ended.is_set():
                raise WaitEnded(f"{what} will not come any more")
            time.sleep(min(max(waited / 8, FIRST_NAP_SECONDS), LONGEST_NAP_SECONDS))
        return answer
