"""Everything that is shown of a run while it goes on: readings of the journal, drawn from one history."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nestedga.record.history import History
from nestedga.record.line import JournalLine
from nestedga.record.run_folder import RunFolder
from nestedga.report.live.bars import Bars
from nestedga.report.live.guard import Guard
from nestedga.report.live.lines import Lines
from nestedga.report.live.tensorboard import TensorBoard


class Views:
    """Lines wait here until somebody has time to show them: no group waits for a display, and none can end a run.

    Args:
        folder: of the run.
        live: there is a terminal for bars; else lines.

    Attributes:
        history: of the run, as far as it has been shown.
    """

    def __init__(self, folder: RunFolder, live: bool) -> None:
        self.history = History(folder.journal)
        self._tensorboard = Guard("TensorBoard", lambda: TensorBoard(folder.tensorboard))
        self._progress = Guard("the display", lambda: Bars(self.history) if live else Lines())
        self._waiting: list[JournalLine] = []

    def put(self, line: JournalLine) -> None:
        """Keeps a line that has just been made."""
        self._waiting.append(line)

    def show(self) -> None:
        """Shows all lines that wait; they must be on disk."""
        for line in self._waiting:
            told = self.history.take(line)
            self._tensorboard.show(line, told, self.history)
            self._progress.show(line, told, self.history)
        self._waiting.clear()

    def replayed(self, lines: Iterable[JournalLine]) -> Iterator[JournalLine]:
        """Earlier lines on their way to the coordinator; nobody is told of them one by one once more.

        Raises:
            JournalError: a line cannot follow those before it.
        """
        for line in lines:
            self._tensorboard.show(line, self.history.take(line), self.history)
            yield line

    def close(self) -> None:
        """Shows what waits, and ends."""
        self.show()
        self._tensorboard.close()
        self._progress.close()
