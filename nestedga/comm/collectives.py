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
    """A leader's mail and its store of states."""

    def __init__(self, channel: Channel, store: StateStore) -> None:
        self.next_order = lambda: channel.next_order(FOR_EVER)
        self.report = channel.report
        self.put, self.get, self.drop, self._fetch = store.put, store.get, store.drop, store.fetch

    def fetch(self, member_id: int, holders: Iterable[int]) -> State | None:
        return self._fetch(member_id, holders)
