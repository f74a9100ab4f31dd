"""Where a group's seconds go: one activity at a time, so that they sum to the wall clock by construction."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

ACTIVITIES = ("initialise", "train", "evaluate", "fetch", "checkpoint", "wait")


class Ledger:
    """Charges every second to one activity.

    Args:
        activity: what is going on at first.
    """

    def __init__(self, activity: str) -> None:
        self._activity = activity
        self._since = time.monotonic()
        self._seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def during(self, activity: str) -> Iterator[None]:
        """Charges what happens inside to an activity; afterwards the one before goes on."""
        before = self._switch(activity)
        try:
            yield
        finally:
            self._switch(before)

    def take(self) -> dict[str, float]:
        """Seconds by activity since the last call."""
        self._switch(self._activity)
        seconds, self._seconds = self._seconds, {}
        return seconds

    def _switch(self, activity: str) -> str:
        assert activity in ACTIVITIES, activity
        now, before = time.monotonic(), self._activity
        self._seconds[before] = self._seconds.get(before, 0.0) + now - self._since
        self._activity, self._since = activity, now
        return before
