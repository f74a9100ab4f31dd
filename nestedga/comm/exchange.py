"""Messages between leaders and coordinators, over a communicator of all ranks."""

from __future__ import annotations

import pickle
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from nestedga.comm.waiting import poll_message, wait_until

if TYPE_CHECKING:
    from mpi4py import MPI

TO_COORDINATOR, TO_LEADER, PREFETCH, LETTER = 1, 2, 3, 4


class Channel:
    """Typed mail both ways. A coordinator's rank is a leader, too: its threads are told apart by tags.

    Args:
        comm: all ranks.
        coordinator: world rank of the one that this leader belongs to; of a coordinator, its own.
    """

    def __init__(self, comm: MPI.Comm, coordinator: int) -> None:
        self._comm = comm
        self._coordinator = coordinator
        self._unfinished: deque[tuple[MPI.Request, bytes]] = deque()
        self._lock = threading.Lock()  # several threads of a leader report

    def report(self, message: Any) -> None:
        """Leader to coordinator. Does not block."""
        self._post(message, self._coordinator, TO_COORDINATOR)

    def order(self, leader: int, message: Any) -> None:
        """Coordinator to an idle leader. Does not block."""
        self._post(message, leader, TO_LEADER)

    def send_prefetch(self, leader: int, message: Any) -> None:
        """Coordinator to a busy leader, of what is to come. Does not block."""
        self._post(message, leader, PREFETCH)

    def write(self, coordinator: int, message: Any) -> None:
        """Coordinator to another coordinator. Does not block."""
        self._post(message, coordinator, LETTER)

    def poll_reports(self) -> list[Any]:
        """For the coordinator: everything that has arrived, of leaders and of other coordinators."""
        messages = []
        for tag in (TO_COORDINATOR, LETTER):
            while (message := self._poll(tag)) is not None:
                messages.append(message)
        return messages

    def poll_order(self) -> Any:
        """For a leader: the next order, or None."""
        return self._poll(TO_LEADER)

    def poll_prefetch(self) -> Any:
        """For a leader, while it is busy: what is to come, or None."""
        return self._poll(PREFETCH)

    def flush(self, limit_seconds: float) -> None:
        """Waits until everything posted has been taken."""

        def all_taken() -> bool | None:
            with self._lock:
                self._prune()
                return None if self._unfinished else True

        wait_until(all_taken, limit_seconds, "messages to be taken")

    def _post(self, message: Any, destination: int, tag: int) -> None:
        payload = pickle.dumps(message)
        with self._lock:
            self._prune()
            self._unfinished.append((self._comm.Isend(payload, destination, tag), payload))

    def _prune(self) -> None:
        # The oldest alone are looked at: a message costs the same however many are on their way.
        while self._unfinished and self._unfinished[0][0].Test():
            self._unfinished.popleft()

    def _poll(self, tag: int) -> Any:
        from mpi4py import MPI

        payload = poll_message(self._comm, MPI.ANY_SOURCE, tag)
        return None if payload is None else pickle.loads(payload)
