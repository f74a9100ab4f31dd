"""The virtual clock, and the process of a slow search on it."""

from __future__ import annotations

import math
import time
from typing import Any

from nestedga.population.member import Member
from nestedga.search.base import Search


class Clock:
    """Virtual seconds since the beginning."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class ThinkingElsewhere:
    """Stands for the process of a slow search and the pipe to it: an answer is there when it would be.

    The far twin thinks here and now; what that took is taken off the coordinator's time.

    Args:
        search: the far twin.
        clock: the virtual one.
        given: seconds of an ``ask``; None: measured.
    """

    def __init__(self, search: Search, clock: Clock, given: float | None) -> None:
        self._search = search
        self._clock = clock
        self._given = given
        self._busy_until = 0.0
        self._answer: list[Member] | None = None
        self.real_seconds = 0.0  # spent in the far twin
        self.asked_seconds: list[float] = []  # of each question
        self.num_members = 0  # in all answers

    @property
    def answers_at(self) -> float:
        return math.inf if self._answer is None else self._busy_until

    def send(self, message: tuple[str, Any]) -> None:
        word, content = message
        began = time.perf_counter()
        answer = getattr(self._search, word)(content)
        took = time.perf_counter() - began
        self.real_seconds += took
        if self._given is not None:
            took = self._given if word == "ask" else 0.0
        self._busy_until = max(self._busy_until, self._clock.now) + took
        if word == "ask":
            self._answer = answer
            self.asked_seconds.append(took)
            self.num_members += len(answer)

    def poll(self) -> bool:
        return self._clock.now >= self.answers_at

    def recv(self) -> list[Member]:
        assert self._answer is not None
        answer, self._answer = self._answer, None
        return answer
