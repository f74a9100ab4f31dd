"""A view that fails is switched off: what is shown of a run never ends it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Protocol

from nestedga.record.history import History
from nestedga.record.line import Line
from nestedga.record.members import Told


class View(Protocol):
    """Shows a run line by line."""

    def show(self, line: Line, told: Told | None, history: History) -> None:
        """Shows what a line says that the history has just taken in; told: what came in with it, if anything."""
        ...

    def close(self) -> None: ...


class Guard:
    """A view, as long as it raises nothing; one line on the standard error says when it is switched off.

    Args:
        name: of the view.
        make: makes it.
    """

    def __init__(self, name: str, make: Callable[[], View]) -> None:
        self._name = name
        self._view: View | None = None
        self._try(lambda: setattr(self, "_view", make()))

    def show(self, line: Line, told: Told | None, history: History) -> None:
        """Has the view show what a line says."""
        if self._view is not None:
            view = self._view
            self._try(lambda: view.show(line, told, history))

    def close(self) -> None:
        if self._view is not None:
            self._try(self._view.close)

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 (whatever it is, the run is worth more)
            self._view = None
            said = " ".join(f"{type(error).__name__}: {error}".split())
            with contextlib.suppress(OSError):  # the standard error may be what fails
                print(f"nestedga: {self._name} is switched off: {said}; the run goes on", file=sys.stderr, flush=True)
