"""Work done ahead of its use, by one thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Iterates over ``items`` in a thread of its own, at most ``depth`` items before they are wanted.

    The thread rests until half of what it has made is taken: waking it can cost more than a small item.

    What the items raise is raised by ``next``, when all before it are served. One consumer.
    """

    def __init__(self, items: Iterable[T], depth: int) -> None:
        self._depth = depth
        self._made: deque[T] = deque()
        self._changed = threading.Condition()  # of what follows, and of what is made
        self._ended = self._closed = False  # nothing more comes; nothing more is wanted
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, args=(iter(items),), name="loader", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        with self._changed:
            while not (self._made or self._ended or self._closed):
                self._changed.wait()
            if self._made:
                item = self._made.popleft()
                if len(self._made) == self._depth // 2:
                    self._changed.notify()
                return item
            if not self._ended:
                raise RuntimeError("these batches were given up: others of the same loader were asked for")
        if self._error is not None:
            raise self._error
        raise StopIteration

    def close(self) -> None:
        """Ends the thread, after the item that it is at."""
        with self._changed:
            self._closed, self._ended = True, self._ended and not self._made
            self._made.clear()
            self._changed.notify()
        self._thread.join()

    def _work(self, items: Iterator[T]) -> None:
        try:
            for item in items:
                with self._changed:
                    self._made.append(item)
                    self._changed.notify()
                    if len(self._made) == self._depth:
                        self._changed.wait_for(lambda: self._closed or len(self._made) <= self._depth // 2)
                    if self._closed:
                        break
        except BaseException as error:  # noqa: BLE001 (whatever it is, the consumer is to see it)
            self._error = error
        finally:
            del items  # a generator cleans up here, in the thread that it ran in
        with self._changed:
            self._ended = not self._closed
            self._changed.notify()
