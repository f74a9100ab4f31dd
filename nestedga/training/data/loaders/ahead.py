"""Work done ahead of its use, by one thread."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Iterates over ``items`` in a thread of its own, at most ``depth`` items before they are wanted.

    What the items raise is raised by ``next``, when all before it are served. One consumer.
    """

    def __init__(self, items: Iterable[T], depth: int) -> None:
        self._queue: queue.Queue[T | _End] = queue.Queue(depth)
        self._closed = threading.Event()
        self._end: _End | None = None  # once it was met
        self._thread = threading.Thread(target=self._work, args=(iter(items),), name="loader", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._end is None:
            if self._closed.is_set():
                raise RuntimeError("these batches were given up: others of the same loader were asked for")
            item = self._queue.get()
            if not isinstance(item, _End):
                return item
            self._end = item
        if self._end.error is not None:
            raise self._end.error
        raise StopIteration

    def close(self) -> None:
        """Ends the thread, after the item that it is at."""
        self._closed.set()
        while self._thread.is_alive():
            with contextlib.suppress(queue.Empty):  # makes room, should the thread wait for it
                self._queue.get(timeout=0.01)

    def _work(self, items: Iterator[T]) -> None:
        end = _End(None)
        try:
            for item in items:
                self._queue.put(item)
                if self._closed.is_set():
                    break
        except BaseException as error:  # noqa: BLE001 (whatever it is, the consumer is to see it)
            end = _End(error)
        finally:
            del items  # a generator cleans up here, in the thread that it ran in
        self._queue.put(end)


class _End:
    """Nothing more comes."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error
