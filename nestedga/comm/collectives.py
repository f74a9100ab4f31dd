"""What a group does together, and what its leader does for it: the communicators in a worker's words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from nestedga.comm import states
from nestedga.comm.exchange import Channel
from nestedga.comm.groups import Group, World
from nestedga.comm.states import StateExchange
from nestedga.comm.waiting import broadcast, gather_all, wait_until
from nestedga.protocol.messages import Durable, Order, Prefetch, Report, Source
from nestedga.states.cache import StateCache
from nestedga.states.limits import StateLimits
from nestedga.states.state import State

# Members of a group wait for their leader as long as it takes: it waits for orders, and the watchdog watches it.
FOR_EVER = math.inf
FLUSH_SECONDS = 60.0  # the coordinator takes in reports every millisecond


class Collectives:
    """Collectives of a group; waits sleep."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._inner = group.inner

    def broadcast(self, value: Any) -> Any:
        return broadcast(self._inner, value, FOR_EVER, "the leader's order")

    def gather(self, value: Any) -> list[Any]:
        return gather_all(self._inner, value, FOR_EVER, "all ranks of the group")

    def share(self, state: State | None) -> State | None:
        return states.share(self._inner, state, FOR_EVER)

    def free(self) -> None:
        """The group is no more; its ranks have joined others."""
        self._group.free()


class Leader:
    """A leader's mail and its states, as a worker wants them.

    A rank that has led keeps its states, and serves them, until it leaves the job; its group's number is its own rank.

    Args:
        world: all ranks.
        coordinator: world rank of the coordinator of this part of the world.
        state_path: the file of a member's state in the run folder.
        limits: of the states that it keeps.
    """

    def __init__(self, world: World, coordinator: int, state_path: Callable[[int], Path], limits: StateLimits) -> None:
        self._group = world.rank
        self._channel = Channel(world.control, coordinator)
        self._cache = StateCache(
            state_path,
            memory_limit=limits.memory_limit,
            local_folder=limits.local_folder,
            local_limit=limits.local_limit,
        )
        self._leads = True
        self._exchange = StateExchange(world.states, self._cache, self._poll_ahead)

    def lead(self, leads: bool) -> None:
        """Says whether this rank leads from now on; else a thread tells which of its states have become durable."""
        self._leads = leads

    def _poll_ahead(self) -> Prefetch | None:
        if not self._leads:
            self._tell_durable()
        ahead: Prefetch | None = self._channel.poll_prefetch()
        return ahead

    def next_order(self) -> Order:
        """Sleeps until it comes; tells meanwhile which states have become durable."""

        def poll() -> Order | None:
            self._tell_durable()
            order: Order | None = self._channel.poll_order()
            return order

        return wait_until(poll, FOR_EVER, "an order of the coordinator")

    def _tell_durable(self) -> None:
        if durable := self._cache.take_durable():
            self.report(Durable(self._group, durable))

    def report(self, report: Report) -> None:
        self._channel.report(report)

    def obtain(self, source: Source) -> State | None:
        return self._exchange.obtain(source)

    def keep(self, member_id: int, state: State, *, own: bool) -> None:
        self._exchange.keep(member_id, state, own=own)

    def drop(self, member_ids: Iterable[int]) -> None:
        self._exchange.drop(member_ids)

    def take_durable(self) -> tuple[int, ...]:
        return self._cache.take_durable()

    def finish(self) -> None:
        """Returns when all states of its own that are still wanted are on disk."""
        self._cache.close()

    def leave(self) -> None:
        """Returns when all reports have been taken; serves states no more."""
        self._channel.flush(FLUSH_SECONDS)
        self._exchange.close()
