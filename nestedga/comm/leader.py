"""What a leader does for its group: mail with its coordinator, and states."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from nestedga.comm.exchange import Channel
from nestedga.comm.group import Group
from nestedga.comm.states import StateExchange
from nestedga.comm.waiting import wait_until
from nestedga.comm.world import World
from nestedga.protocol.messages import Durable, Order, Prefetch, Report, Source
from nestedga.states.cache import StateCache
from nestedga.states.limits import StateLimits
from nestedga.states.state import State

FLUSH_SECONDS = 60.0  # the coordinator takes in reports every millisecond


class Leader:
    """A leader's mail and its states.

    A rank that has led keeps its states, and serves them, until it leaves the job.

    Args:
        world: all ranks.
        coordinator: id of the coordinator of this part of the world.
        state_path: the file of a member's state in the run folder.
        limits: of the states that it keeps.
    """

    def __init__(self, world: World, coordinator: int, state_path: Callable[[int], Path], limits: StateLimits) -> None:
        self._number = world.rank_id  # of its groups
        self._channel = Channel(world, coordinator)
        self._state_path = state_path
        self._cache = StateCache(
            state_path,
            memory_limit=limits.memory_limit,
            local_folder=limits.local_folder,
            local_limit=limits.local_limit,
        )
        self._group: Group | None = None
        self._exchange = StateExchange(world, self._cache, self._poll_prefetch)

    def lead(self, group: Group | None) -> None:
        """Leads this group from now on; None: no group, and a thread tells which of its states have become durable."""
        self._group = group

    def _poll_prefetch(self) -> Prefetch | None:
        if self._group is None:
            self._tell_durable()
        return self._channel.poll_prefetch()

    def next_order(self) -> Order:
        """Sleeps until it comes; tells meanwhile which states have become durable.

        The coordinator owns this wait, which lasts as long as others train: it gives each group an order in the end.

        Raises:
            WaitEnded: the group is over.
        """
        assert self._group is not None

        def poll() -> Order | None:
            self._tell_durable()
            return self._channel.poll_order()

        return wait_until(poll, self._group.ended, "an order of the coordinator")

    def _tell_durable(self) -> None:
        if durable := self._cache.take_durable():
            self.report(Durable(self._number, durable))

    def report(self, report: Report) -> None:
        self._channel.report(report)

    def obtain(self, source: Source) -> State | None:
        """A state: kept here, from another leader, or from the run folder; None where it is not to be had."""
        state = self._exchange.obtain(source)
        if state is None and (state := State.load(self._state_path(source.member_id))) is not None:
            self.keep(source.member_id, state, own=False)
        return state

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
        """Returns when MPI has taken all reports; serves states no more, and keeps none."""
        self._channel.flush(FLUSH_SECONDS)
        self._exchange.close()
        self._cache.clear()
