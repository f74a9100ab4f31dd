"""Live progress where there is no terminal: sparse plain lines."""

from __future__ import annotations

from typing import TextIO

from nestedga.record.events import RunBegan
from nestedga.record.history import History
from nestedga.record.line import JournalLine
from nestedga.record.members import Told
from nestedga.report.live.words import clock, front, generation, to_go
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

    def show(self, line: JournalLine, told: Told | None, history: History) -> None:
        """Shows what a line says that the history has just taken in."""
        start = history.start
        if isinstance(line.event, RunBegan):
            done = f", {history.num_evaluated} evaluations done already" if history.num_evaluated else ""
            say(start.part, f"{start.experiment}: {start.layout}; {start.search}{done}; {start.folder}")
        if told is not None and (evaluation := told.evaluation).message:
            member = told.member
            say(start.part, f"member {member.id} {evaluation.status.value}: {evaluation.message}; {member.genotype}")
            if evaluation.log and not self._shown_trace:  # in full once; all are in the run folder's logs
                self._shown_trace = True
                print(evaluation.log.rstrip(), flush=True)
        if history.completed_row is not None:
            foms = "all failed"
            if (spread := history.spread(history.completed_row)) is not None:
                best, median, worst = map(figure, spread)
                foms = f"{history.objectives.names[0]} best {best}, median {median}, worst {worst}"
            if len(history.objectives) > 1:
                foms += f"; {front(history)}"
            seconds = history.seconds
            say(start.part, f"{generation(history)}: {foms}; {clock(seconds.wall)}{to_go(history, seconds.now)}")

    def close(self) -> None:
        """Nothing is open."""
