"""Live progress in a terminal: bars, and what every group does."""

from __future__ import annotations

import threading
import time

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nestedga.record.history import History
from nestedga.record.line import JournalLine
from nestedga.record.members import Told
from nestedga.report.live.words import clock, front, generation, to_go
from nestedga.report.numbers import figure

REFRESH_SECONDS = 0.25
MOST_GROUPS = 16  # more would not fit a terminal


class Bars:
    """A live display: all evaluations, the batch that is coming in, and what every group does."""

    def __init__(self, history: History) -> None:
        self._live = Live(get_renderable=lambda: render(history, time.time()), auto_refresh=False)
        self._live.start()
        self._error: Exception | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._refresh, daemon=True)
        self._thread.start()

    def _refresh(self) -> None:
        """In a thread of its own, for time goes on where no line comes; an exception here would end the job."""
        try:
            while not self._closing.wait(REFRESH_SECONDS):
                self._live.refresh()
        except Exception as error:  # noqa: BLE001 (``show`` and ``close`` raise it)
            self._error = error

    def show(self, line: JournalLine, told: Told | None, history: History) -> None:
        """The display looks at the history by itself; what went wrong there is raised here."""
        if self._error is not None:
            self._live.stop()
            raise self._error

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        self._live.stop()


def render(history: History, now: float) -> RenderableType:
    """The display of a run at a moment."""
    if not history.num_starts:
        return Text("the journal is empty so far")
    name = history.objectives.names[0]
    bars = Table.grid(padding=(0, 1))
    told, total = history.num_evaluated, history.start.num_evaluations
    if total:
        bars.add_row(
            "evaluations",
            ProgressBar(total, told, width=40),
            f"{told}/{total}",
            f"{clock(now - history.began)}{to_go(history, now)}",
        )
    size = history.start.population_size
    bars.add_row(
        "this generation",
        ProgressBar(size, len(history.row), width=40),
        f"{len(history.row)}/{size}",
        generation(history),
    )
    title = f"{history.name}: {history.layout}; {history.start.search}; {history.status}"
    best = "no member so far"
    if history.best_id is not None:
        best = f"best {name} {figure(history.best_values[0])}, member {history.best_id}"
        if len(history.objectives) > 1:
            best += f"; {front(history)}"
    failed = sum(count for status, count in history.counts.items() if status != "ok")
    best += f"; {failed} failed" if failed else ""
    return Group(Text(title, style="bold"), bars, Text(best), _groups(history, now))


def _groups(history: History, now: float) -> Table:
    """Who is with which group, since when, and with which genes."""
    table = Table("group", "ranks", "member", "slot", "generation", "since", "genes", box=None)
    for group, running in sorted(history.running.items())[:MOST_GROUPS]:
        member = history.member(running.member_id)
        genes = ", ".join(f"{path}={_value(value)}" for path, value in member.genotype.items())
        what = f"{member.id}" if running.task.value == "train" else f"{member.id} ({running.task.value})"
        place, lived = (
            (str(group), str(history.seconds.groups.get(group, ""))),
            (str(member.slot), str(member.generation)),
        )
        table.add_row(*place, what, *lived, f"{now - running.since:.0f} s", Text(genes))
    return table


def _value(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
