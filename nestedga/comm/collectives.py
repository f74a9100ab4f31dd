"""What a group does together, and what its leader does for it: the communicators in a worker's words."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from nestedga.comm import states
from nestedga.comm.exchange import Channel
from nestedga.comm.states import StateStore
from nestedga.comm.waiting import broadcast, gather_all
from nestedga.state import State

if TYPE_CHECKING:
    from mpi4py import MPI

# Members of a group wait for their leader as long as it takes: it waits for orders, and the watchdog watches it.
FOR_EVER = math.inf
FLUSH_SECONDS = 60.0  # the coordinator takes in reports every millisecond


class Collectives:
    """Collectives of a group; waits sleep."""

    def __init__(self, inner: MPI.Comm) -> None:
        self._inner = inner

    def broadcast(self, value: Any) -> Any:
        return broadcast(self._inner, value, FOR_EVER, "the leader's order")

    def gather(self, value: Any) -> list[Any]:
        return gather_all(self._inner, value, FOR_EVER, "all ranks of the group")

    def share(self, state: State | None) -> State | None:
        return states.share(self._inner, state, FOR_EVER)


class Leader:
    """A leader's mail and its store of states, as a worker wants them."""

    def __init__(self, channel: Channel, store: StateStore) -> None:
        self._channel = channel
        self._store = store

    def next_order(self) -> Any:
        return self._channel.next_order(FOR_EVER)

    def report(self, report: Any) -> None:
        self._channel.report(report)

    def flush(self) -> None:
        """Waits until all reports have been taken."""
        self._channel.flush(FLUSH_SECONDS)

    def put(self, member_id: int, state: State) -> None:
        self._store.put(member_id, state)

    def get(self, member_id: int) -> State | None:
        return self._store.get(member_id)

    def drop(self, member_ids: Iterable[int]) -> None:
        self._store.drop(member_ids)

    def fetch(self, member_id: int, holders: Iterable[int]) -> State | None:
        return self._store.fetch(member_id, holders)
