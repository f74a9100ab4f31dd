"""The virtual clock, and a slow search on it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import TypeVar

from nestedga.coordination.thinker import Answer, Needed
from nestedga.population.member import Evaluation, Member
from nestedga.search.base import Search

T = TypeVar("T")


class Clock:
    """Virtual seconds since the beginning."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class PlayedThinker:
    """Stands for the process of a slow search and the pipe to it: an answer is there when it would be.

    The search thinks here and now; what that took is taken off the coordinator's time.

    Args:
        search: which is played to think elsewhere.
        clock: the virtual one.
        given: seconds of each request for members; None: measured.

    Attributes:
        done: as the last answer said.
        answers_at: when the answer to the request that is out will be there; infinite without one.
        real_seconds: spent in the search.
        asked_seconds: of each request for members.
        num_members: in all answers.
    """

    def __init__(self, search: Search, clock: Clock, given: float | None) -> None:
        self.prefetch = search.prefetch
        self.done = False
        self.answers_at = math.inf
        self.real_seconds = 0.0
        self.asked_seconds: list[float] = []
        self.num_members = 0
        self._search = search
        self._clock = clock
        self._given = given
        self._busy_until = 0.0
        self._number = 0
        self._answer: tuple[Answer, AbstractSet[int], bool] | None = None  # what is needed then, and done
        self._needed = Needed()

    def request(self, n: int) -> int:
        self._number += 1
        self._needed.request()
        members, took = self._elsewhere(lambda: tuple(self._search.ask(n)) if n else ())
        needed, more = self._elsewhere(self._search.needed)
        took = took + more if self._given is None else self._given if n else 0.0
        self._begin(took)
        self.answers_at = self._busy_until  # what it hears meanwhile, it does after
        if n:
            self.asked_seconds.append(took)
            self.num_members += len(members)
        self._answer = Answer(self._number, members), needed, self._search.done
        return self._number

    def poll(self) -> Answer | None:
        if self._answer is None or self._clock.now < self.answers_at:
            return None
        (answer, needed, self.done), self._answer = self._answer, None
        self.answers_at = math.inf
        self._needed.answer(needed)
        return answer

    def tell(self, evaluation: Evaluation) -> None:
        self._needed.tell(evaluation.member_id)
        self._hear(lambda: self._search.tell(evaluation))

    def immigrate(self, member: Member, evaluation: Evaluation) -> None:
        self._needed.tell(member.id)
        self._hear(lambda: self._search.immigrate(member, evaluation))

    def adopt(self, member: Member) -> None:
        self._hear(lambda: self._search.adopt(member))

    def needed(self) -> AbstractSet[int]:
        return self._needed()

    def close(self) -> None:
        """There is no process."""

    def _elsewhere(self, work: Callable[[], T]) -> tuple[T, float]:
        """What the search gives, and the real seconds that it took."""
        began = time.perf_counter()
        result = work()
        took = time.perf_counter() - began
        self.real_seconds += took
        return result, took

    def _hear(self, work: Callable[[], None]) -> None:
        _, took = self._elsewhere(work)
        self._begin(took if self._given is None else 0.0)

    def _begin(self, seconds: float) -> None:
        """The process has something to do, after all that it was to do before."""
        self._busy_until = max(self._busy_until, self._clock.now) + seconds
