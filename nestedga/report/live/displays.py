"""Everything that is shown of a run while it goes on: readings of the journal, drawn from one history."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nestedga.record.history import History
from nestedga.record.journal import Record
from nestedga.record.run_folder import RunFolder
from nestedga.report.live.progress import Bars, Lines
from nestedga.report.live.tensorboard import TensorBoard


class Displays:
    """Records wait here until somebody has time to show them: no group waits for a display.

    Args:
        folder: of the run.
        live: there is a terminal for bars; else lines.

    Attributes:
        history: of the run, as far as it has been shown.
    """

    def __init__(self, folder: RunFolder, live: bool) -> None:
        self.history = History(folder.journal)
        self._tensorboard = TensorBoard(folder.tensorboard)
        self._progress = Bars(self.history) if live else Lines()
        self._waiting: list[Record] = []

    def put(self, record: Record) -> None:
        """Keeps a record that has just been made."""
        self._waiting.append(record)

    def show(self) -> None:
        """Shows all records that wait; they must be on disk."""
        for record in self._waiting:
            told = self.history.take(record)
            self._tensorboard.show(record, told, self.history)
            self._progress.show(record, told, self.history)
        self._waiting.clear()

    def replayed(self, records: Iterable[Record]) -> Iterator[Record]:
        """Earlier records on their way to the coordinator; nobody is told of them line by line once more."""
        for record in records:
            self._tensorboard.show(record, self.history.take(record), self.history)
            yield record

    def close(self) -> None:
        """Shows what waits, and ends."""
        self.show()
        self._tensorboard.close()
        self._progress.close()
