"""Messages between leaders and coordinator, over a communicator of the leaders."""

from __future__ import annotations

import pickle
import threading
from typing import TYPE_CHECKING, Any

from nestedga.comm.waiting import wait_until

if TYPE_CHECKING:
    from mpi4py import MPI

TO_COORDINATOR, TO_LEADER = 1, 2


class Channel:
    """Typed mail both ways; the coordinator is outer rank 0, which may also be a leader (two threads, two tags)."""

    def __init__(self, comm: MPI.Comm) -> None:
        self._comm = comm
        self._unfinished: list[tuple[MPI.Request, bytes]] = []
        self._lock = threading.Lock()  # several threads of a leader report

    def report(self, message: Any) -> None:
        """Leader to coordinator. Does not block."""
        self._post(message, 0, TO_COORDINATOR)

    def order(self, group: int, message: Any) -> None:
        """Coordinator to leader. Does not block."""
        self._post(message, group, TO_LEADER)

    def poll_reports(self) -> list[Any]:
        """For the coordinator: everything that has arrived."""
        messages = []
        while (message := self._poll(TO_COORDINATOR)) is not None:
            messages.append(message)
        return messages

    def next_order(self, limit_seconds: float) -> Any:
        """For a leader: the next order; sleeps until it comes."""
        return wait_until(lambda: self._poll(TO_LEADER), limit_seconds, "an order of the coordinator")

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
