"""Messages between leaders and coordinator, over a communicator of the leaders."""

from __future__ import annotations

import pickle
import threading
from typing import TYPE_CHECKING, Any

from nestedga.comm.waiting import wait_until

if TYPE_CHECKING:
    from mpi4py import MPI

TO_COORDINATOR, TO_LEADER, AHEAD = 1, 2, 3


class Channel:
    """Typed mail both ways. The coordinator is rank 0, which is a leader, too: its threads are told apart by tags."""

    def __init__(self, comm: MPI.Comm) -> None:
        self._comm = comm
        self._unfinished: list[tuple[MPI.Request, bytes]] = []
        self._lock = threading.Lock()  # several threads of a leader report

    def report(self, message: Any) -> None:
        """Leader to coordinator. Does not block."""
        self._post(message, 0, TO_COORDINATOR)

    def order(self, leader: int, message: Any) -> None:
        """Coordinator to an idle leader. Does not block."""
        self._post(message, leader, TO_LEADER)

    def tell_ahead(self, leader: int, message: Any) -> None:
        """Coordinator to a busy leader, of what is to come. Does not block."""
        self._post(message, leader, AHEAD)

    def poll_reports(self) -> list[Any]:
        """For the coordinator: everything that has arrived."""
        messages = []
        while (message := self._poll(TO_COORDINATOR)) is not None:
            messages.append(message)
        return messages

    def poll_order(self) -> Any:
        """For a leader: the next order, or None."""
        return self._poll(TO_LEADER)

    def poll_ahead(self) -> Any:
        """For a leader, while it is busy: what is to come, or None."""
        return self._poll(AHEAD)

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
        self._unfinished = [(request, payload) for request, payload in self._unfinished if not request.Test()]

    def _poll(self, tag: int) -> Any:
        from mpi4py import MPI

        status = MPI.Status()
        message = self._comm.Improbe(MPI.ANY_SOURCE, tag, status)
        if message is None:
            return None
        payload = bytearray(status.Get_count(MPI.BYTE))
        message.Recv(payload)
        return pickle.loads(payload)
