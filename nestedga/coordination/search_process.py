"""A slow search thinks in a process of its own, so that it never holds up the training rank beside the coordinator.

The process is spawned before MPI starts, for afterwards forking is unsafe. It keeps a twin of the search: both are told
and adopt alike, and only the twin is asked.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from threadpoolctl import threadpool_limits

from nestedga.population.member import Evaluation, Member
from nestedga.search.base import Search

NICENESS = 10  # of the process: a core that trains comes first


class SearchProcess:
    """The near end: spawned early, given its search later, perhaps one after another.

    Args:
        make_search: makes a search of a configuration's settings; a function that can be named from another process.
    """

    def __init__(self, make_search: Callable[[Any], Search]) -> None:
        context = multiprocessing.get_context("spawn")
        self._near, far = context.Pipe()
        process = context.Process(target=_think, args=(far, make_search), name="nestedga search", daemon=True)
        process.start()
        far.close()  # so that the end of either is seen by the other

    def begin(self, search: Search, settings: Any, limit_seconds: float) -> DistantSearch:
        """The search of a run; its twin is made from the settings."""
        self._near.send(("begin", settings))
        return DistantSearch(search, self._near, limit_seconds)


class DistantSearch:
    """A search whose ``ask`` answers None while it is still thinking.

    Between question and answer nothing is told to either twin, so that both see the same history in the same order.

    Args:
        search: the near twin.
        connection: to the far one.
        limit_seconds: of one ``ask``.
    """

    def __init__(self, search: Search, connection: Connection, limit_seconds: float) -> None:
        self._search = search
        self._connection = connection
        self._limit_seconds = limit_seconds
        self._asked_at: float | None = None
        self._held: list[Evaluation | tuple[Member, Evaluation]] = []  # told, or immigrated, while it was thinking

    @property
    def done(self) -> bool:
        return self._search.done and not self._held

    @property
    def prefetch(self) -> int:
        return self._search.prefetch

    @property
    def num_evaluations(self) -> int | None:
        return self._search.num_evaluations

    def ask(self, n: int) -> list[Member] | None:
        """At most n new members; None: ask again later.

        Raises:
            RuntimeError: the process has ended, failed or thinks for too long.
        """
        if self._asked_at is None:
            self._connection.send(("ask", n))
            self._asked_at = time.monotonic()
        if not self._connection.poll():
            if time.monotonic() - self._asked_at > self._limit_seconds:
                raise RuntimeError(f"the search has not answered for {self._limit_seconds:g} s; resume=true goes on")
            return None
        try:
            answer = self._connection.recv()
        except EOFError as error:
            raise RuntimeError("the process of the search has ended; resume=true goes on") from error
        if isinstance(answer, str):
            raise RuntimeError(f"the search has failed in its process:\n{answer}")
        members: list[Member] = answer
        self._asked_at = None
        for member in members:
            self._search.adopt(member)
        held, self._held = self._held, []
        for said in held:
            self.tell(said) if isinstance(said, Evaluation) else self.immigrate(*said)
        return members

    def tell(self, evaluation: Evaluation) -> None:
        if self._asked_at is not None:
            self._held.append(evaluation)
            return
        self._search.tell(evaluation)
        self._connection.send(("tell", evaluation))

    def immigrate(self, member: Member, evaluation: Evaluation) -> None:
        if self._asked_at is not None:
            self._held.append((member, evaluation))
            return
        self._search.immigrate(member, evaluation)
        self._connection.send(("immigrate", (member, evaluation)))

    def adopt(self, member: Member) -> None:
        self._search.adopt(member)
        self._connection.send(("adopt", member))

    def needed(self) -> set[int]:
        # What was told meanwhile may turn out to be a parent.
        held = {said.member_id if isinstance(said, Evaluation) else said[0].id for said in self._held}
        return self._search.needed() | held


def _think(connection: Connection, make_search: Callable[[Any], Search]) -> None:
    """The far end: ends with its parent, whose end closes the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to answer
    os.nice(NICENESS)
    threadpool_limits(1)  # the other cores train
    search: Search
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            word, content = connection.recv()
            try:
                if word == "begin":
                    search = make_search(content)
                elif word == "adopt":
                    search.adopt(content)
                elif word == "tell":
                    search.tell(content)
                elif word == "immigrate":
                    search.immigrate(*content)
                else:
                    answer: list[Member] | str = search.ask(content)  # which adopts them already
            except Exception:  # noqa: BLE001 (whatever it is belongs to the near end)
                word, answer = "failed", traceback.format_exc()
            if word in ("ask", "failed"):
                connection.send(answer)
