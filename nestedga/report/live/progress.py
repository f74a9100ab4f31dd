"""Live progress: bars where there is a terminal, sparse plain lines where there is none."""

from __future__ import annotations

import time
from typing import TextIO

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nestedga.record.history import History, Told
from nestedga.record.journal import Record
from nestedga.report.numbers import figure


def say(part: int | None, text: str, file: TextIO | None = None) -> None:
    """Prints a line of a run, or of a part of the world, which says so.

    Args:
        part: its number; None: there are no parts.
        text: one line.
        file: where to; None: to the standard output.
    """
    print(f"nestedga: {'' if part is None else f'part {part}: '}{text}", file=file, flush=True)


class Lines:
    """One line for each row of evaluations and for what goes wrong; for logs and launchers without a terminal."""

    def __init__(self) -> None:
        self._shown_trace = False

    def show(self, record: Record, told: Told | None, history: History) -> None:
        """Shows what a record says that the history has just taken in."""
        if record["event"] in ("run", "resume"):
            done = f", {history.num_told} evaluations done already" if history.num_told else ""
            say(
                history.part,
                f"{record['experiment']}: {record['layout']}; {record['search']}{done}; {record['folder']}",
            )
        if told is not None and (evaluation := told.evaluation).message:
            member = told.member
            say(history.part, f"member {member.id} {evaluation.status.value}: {evaluation.message}; {member.genotype}")
            if evaluation.log and not self._shown_trace:  # in full once; all are in the run folder's logs
                self._shown_trace = True
                print(evaluation.log.rstrip(), flush=True)
        if told is not None and told.row is not None:
            spread = history.spread(told.row)
            name = history.objectives.names[0]
            foms = "all failed"
            if spread is not None:
                best, median, worst = map(figure, spread)
                foms = f"{name} best {best}, median {median}, worst {worst}"
            if len(history.objectives) > 1:
                foms += f"; {_front(history)}"
            say(history.part, f"{_generation(history)}: {foms}; {_clock(history.seconds)}{_eta(history, history.now)}")

    def close(self) -> None:
        """Nothing is open."""


class Bars:
    """A live display: all evaluations, the batch that is coming in, and what every group does."""

    def __init__(self, history: History) -> None:
        self._live = Live(get_renderable=lambda: render(history, time.time()), refresh_per_second=4)
        self._live.start()

    def show(self, record: Record, told: Told | None, history: History) -> None:
        """The live display looks at the history by itself, in a thread of its own."""

    def close(self) -> None:
        self._live.stop()


def render(history: History, now: float) -> RenderableType:
    """The display of a run at a moment."""
    if not history.header:
        return Text("the journal is empty so far")
    name = history.objectives.names[0]
    bars = Table.grid(padding=(0, 1))
    told, total = history.num_told, history.num_evaluations
    if total:
        bars.add_row(
            "evaluations",
            ProgressBar(total, told, width=40),
            f"{told}/{total}",
            f"{_clock(now - history.began)}{_eta(history, now)}",
        )
    size = history.population_size
    bars.add_row(
        "this generation",
        ProgressBar(size, len(history.row), width=40),
        f"{len(history.row)}/{size}",
        _generation(history),
    )
    title = f"{history.name}: {history.layout}; {history.header['search']}; {history.status}"
    groups = Table("group", "ranks", "member", "slot", "generation", "since", "genes", box=None)
    for group, (member_id, task, since) in sorted(history.running.items())[:16]:
        member = history.member(member_id)
        genes = ", ".join(f"{path}={_value(value)}" for path, value in member.genotype.items())
        what = f"{member_id}" if task == "train" else f"{member_id} ({task})"
        place, lived = (str(group), str(history.groups[group])), (str(member.slot), str(member.generation))
        groups.add_row(*place, what, *lived, f"{now - since:.0f} s", Text(genes))
    best = "no member so far"
    if history.best_id is not None:
        best = f"best {name} {figure(history.best_values[0])}, member {history.best_id}"
        if len(history.objectives) > 1:
            best += f"; {_front(history)}"
    failed = sum(count for status, count in history.counts.items() if status != "ok")
    return Group(Text(title, style="bold"), bars, Text(best + (f"; {failed} failed" if failed else "")), groups)


def _generation(history: History) -> str:
    total = history.num_evaluations
    if not history.header.get("generational", True):
        return f"{history.num_told}{f'/{total}' if total else ''} evaluations"
    of = f"/{total // history.population_size}" if total else ""
    return f"generation {history.num_rows}{of}"


def _front(history: History) -> str:
    return f"front of {len(history.front.ids)}, hypervolume {history.front.hypervolume():.4g}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _eta(history: History, now: float) -> str:
    eta = history.eta_seconds(now)
    return "" if eta is None else f", {_clock(eta)} to go"


def _value(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
