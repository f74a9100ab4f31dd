"""A watchdog for waits that no library watches: a rank without progress for too long ends the job, with its stacks."""

from __future__ import annotations

import faulthandler
import sys
import threading
import time
from collections.abc import Callable


class Watchdog:
    """Calls ``bark`` when ``beat`` was not called for too long, unless it rests.

    Args:
        limit_seconds: longest silence.
        bark: ends the job; called after the stacks of all threads were written to stderr.
        name: of this rank, for the message.
    """

    def __init__(self, limit_seconds: float, bark: Callable[[], None], name: str) -> None:
        self._limit_seconds = limit_seconds
        self._bark = bark
        self._name = name
        self._last: float | None = None
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def beat(self, more_seconds: float = 0.0) -> None:
        """Progress was made; what comes next may last longer than the limit, by so much."""
        self._last = time.monotonic() + more_seconds

    def rest(self) -> None:
        """Nothing is to be done until the next beat: waiting for an order may take as long as others train."""
        self._last = None

    def close(self) -> None:
        """Watches no more."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.wait(min(1.0, self._limit_seconds / 4)):
            last = self._last
            if last is not None and time.monotonic() - last > self._limit_seconds:
                print(
                    f"nestedga: {self._name} made no progress for run.stall_seconds={self._limit_seconds:g}; "
                    "ending the job (raise it where one step takes longer; resume=true goes on)",
                    file=sys.stderr,
                    flush=True,
                )
                faulthandler.dump_traceback(all_threads=True)
                self._bark()
                return
