"""A view that fails is switched off: what is shown of a run never ends it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Protocol

from nestedga.record.history import History
from nestedga.record.line import JournalLine
from nestedga.record.members import Told


class View(Protocol):
    """Shows a run line by line."""

    def show(self, line: JournalLine, told: Told | None, history: History) -> None:
        """Shows what a line says that the history has just taken in; told: what came in with it, if anything."""
        ...

    def close(self) -> None: ...


class Guard:
    """A view, as long as it raises nothing.

    Args:
        name: of the view.
        make: makes it.
    """

    def __init__(self, name: str, make: Callable[[], View]) -> None:
        self._name = name
        self._view: View | None = None
        with guarded(name):
            self._view = make()

    def show(self, line: JournalLine, told: Told | None, history: History) -> None:
        """Has the view show what a line says; it is switched off where it cannot."""
        view, self._view = self._view, None
        if view is not None:
            with guarded(self._name):
                view.show(line, told, history)
                self._view = view

    def close(self) -> None:
        if self._view is not None:
            with guarded(self._name):
                self._view.close()


@contextlib.contextmanager
def guarded(name: str) -> Iterator[None]:
    """Whatever cannot be shown inside is said in one line on the standard error, and the run goes on.

    Args:
        name: of what is shown.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 (whatever it is, the run is worth more)
        said = " ".join(f"{type(error).__name__}: {error}".split())
        with contextlib.suppress(OSError):  # the standard error may be what fails
            print(f"nestedga: {name} is switched off ({said}); the run goes on", file=sys.stderr, flush=True)
