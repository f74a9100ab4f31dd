"""Messages between leaders and coordinators, over a communicator of all ranks."""

from __future__ import annotations

import struct
import threading
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any

from nestedga.comm.epoch import Epoch
from nestedga.comm.stream import Stream
from nestedga.comm.waiting import abandon, poll_message, wait_until
from nestedga.comm.world import World
from nestedga.protocol.messages import Letter, Order, Prefetch, Report
from nestedga.protocol.wire import decode, encode

if TYPE_CHECKING:
    from mpi4py import MPI

# Tags: to a coordinator from a leader, to a leader from its coordinator, between coordinators. One rank may be both.
REPORT, ORDER, LETTER = 1, 2, 3
WAY_BACK = {REPORT: ORDER, ORDER: REPORT, LETTER: LETTER}
# Before each message: the epoch's number, the message's own, how far the partner has been heard on the way back.
HEAD = struct.Struct("<QQQ")
WORD = 0  # number of a message without content


class Channel:
    """Typed mail both ways, each message once and in the order in which it was posted.

    What the partner has not confirmed when a new epoch is entered is posted again in the new one; what comes twice so
    is dropped, and what bears the number of another epoch. The new epoch is noticed at the next call.

    Args:
        world: all ranks.
        coordinator: id of the one that this leader belongs to; of a coordinator, its own.
    """

    def __init__(self, world: World, coordinator: int) -> None:
        self._world = world
        self._coordinator = coordinator
        self._epoch = world.epoch
        # By partner, and the tag of what is posted to it.
        self._streams: defaultdict[tuple[int, int], Stream] = defaultdict(Stream)
        self._unfinished: deque[MPI.Request] = deque()  # each holds its message
        self._orders: deque[Order] = deque()
        self._prefetches: deque[Prefetch] = deque()
        self._lock = threading.RLock()  # several threads of a leader report, and two look for what comes in

    def report(self, message: Report) -> None:
        """Leader to coordinator. Does not block."""
        self._post(message, self._coordinator, REPORT)

    def order(self, leader: int, message: Order) -> None:
        """Coordinator to an idle leader. Does not block."""
        self._post(message, leader, ORDER)

    def send_prefetch(self, leader: int, message: Prefetch) -> None:
        """Coordinator to a busy leader, of what is to come. Does not block."""
        self._post(message, leader, ORDER)

    def write(self, coordinator: int, message: Letter) -> None:
        """Coordinator to another coordinator. Does not block."""
        self._post(message, coordinator, LETTER)

    def poll_reports(self) -> list[Any]:
        """For the coordinator: everything that has arrived, of leaders and of other coordinators."""
        return [*self._take_in(REPORT), *self._take_in(LETTER)]

    def poll_order(self) -> Order | None:
        """For a leader: the next order, or None."""
        self._sort()
        return self._orders.popleft() if self._orders else None

    def poll_prefetch(self) -> Prefetch | None:
        """For a leader, while it is busy: what is to come, or None."""
        self._sort()
        return self._prefetches.popleft() if self._prefetches else None

    def flush(self, limit_seconds: float) -> None:
        """Waits until MPI has taken everything posted.

        Raises:
            TimeoutError: it has not within the limit.
        """

        def all_taken() -> bool | None:
            with self._lock:
                self._in_epoch()
                self._prune()
                return None if self._unfinished else True

        wait_until(all_taken, limit_seconds, "messages to be taken")

    def _post(self, message: Report | Order | Prefetch | Letter, partner: int, tag: int) -> None:
        body = encode(message)
        with self._lock:
            self._in_epoch()
            number = self._streams[partner, tag].post(body)
            self._send(partner, tag, number, body)

    def _send(self, partner: int, tag: int, number: int, body: bytearray) -> None:
        if partner not in self._epoch.world_ranks:
            return  # kept, for an epoch in which it may be back
        self._prune()
        head = HEAD.pack(self._epoch.number, number, self._streams[partner, tag].tell())
        self._unfinished.append(self._epoch.control.Isend(head + body, self._epoch.world_ranks[partner], tag))

    def _prune(self) -> None:
        # The oldest alone are looked at: a message costs the same however many are on their way.
        while self._unfinished and self._unfinished[0].Test():
            self._unfinished.popleft()

    def _sort(self) -> None:
        """Takes in orders and prefetches; whichever thread asks finds those of the other as well."""
        with self._lock:
            for message in self._take_in(ORDER):
                (self._orders if isinstance(message, Order) else self._prefetches).append(message)

    def _take_in(self, tag: int) -> list[Any]:
        """Everything new that has arrived under a tag."""
        from mpi4py import MPI

        messages = []
        with self._lock:
            epoch = self._in_epoch()
            while (arrival := poll_message(epoch.control, MPI.ANY_SOURCE, tag)) is not None:
                number_of_epoch, number, confirmed = HEAD.unpack_from(arrival.payload)
                if number_of_epoch != epoch.number:
                    continue
                partner = epoch.ids[arrival.sender]
                stream = self._streams[partner, WAY_BACK[tag]]
                stream.confirm(confirmed)
                if number != WORD and stream.take(number):
                    messages.append(decode(memoryview(arrival.payload)[HEAD.size :]))
                if stream.owes_word:
                    self._send(partner, WAY_BACK[tag], WORD, bytearray())
        return messages

    def _in_epoch(self) -> Epoch:
        """The present epoch; where it has just begun, everything unconfirmed is sent again. With the lock held."""
        if self._world.epoch is not self._epoch:
            self._epoch = self._world.epoch
            abandon(*self._unfinished)
            self._unfinished.clear()
            for (partner, tag), stream in self._streams.items():
                for number, body in stream:
                    self._send(partner, tag, number, body)
        return self._epoch
