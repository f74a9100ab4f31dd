"""The journal: an append-only file of JSON lines, and the truth about a run.

Resume, TensorBoard, watch and report are readings of it. Every line carries its number and the CRC-32 of its own
content. A torn last line (the writer was killed) is forgiven; any other damage, a line missing, doubled or swapped
among them, is an error that names file and line. What events there are: ``nestedga.record.events``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from nestedga.errors import SettingError
from nestedga.record.events import Event
from nestedga.record.line import JournalLine, content_of, decode, encode

Record = dict[str, Any]
"""A line as the JSON object that it is, for scripts; its keys: docs/reporting.md."""

CHUNK_BYTES = 2**20  # read at once where lines are counted


class JournalError(SettingError):
    """The journal is damaged where that cannot be forgiven."""


class Journal:
    """Appends events. ``record`` is cheap; nothing is certain before ``flush`` returns.

    Args:
        path: the file; made where missing, its torn last line cut off.
        listener: called with each line, before it is on disk (live views).
        clock: seconds since the epoch; a simulation brings its own.
    """

    def __init__(
        self,
        path: Path,
        listener: Callable[[JournalLine], None] = lambda line: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self._listener = listener
        self._clock = clock
        self._waiting: list[bytes] = []
        self._file = open(path, "a+b")  # noqa: SIM115 (lives as long as the journal)
        self._num_lines, self._end = _complete_lines(self._file)
        self._file.truncate(self._end)

    def record(self, event: Event) -> None:
        """Appends what has happened just now."""
        self._num_lines += 1
        line = JournalLine(self._num_lines, self._clock(), self._end, event)
        encoded = encode(line)
        self._end += len(encoded)
        self._waiting.append(encoded)
        self._listener(line)

    def flush(self) -> None:
        """Everything recorded is on disk when this returns."""
        if self._waiting:
            self._file.write(b"".join(self._waiting))
            self._waiting.clear()
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self.flush()
        self._file.close()


def _complete_lines(file: BinaryIO) -> tuple[int, int]:
    """How many lines are complete, and where the last of them ends; a journal may be longer than memory."""
    number = end = begin = file.seek(0)
    while chunk := file.read(CHUNK_BYTES):
        if lines := chunk.count(b"\n"):
            number, end = number + lines, begin + chunk.rfind(b"\n") + 1
        begin += len(chunk)
    return number, end


class Tail:
    """Reads a journal, also one that is being written: each call gives what has come since the last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._num_lines = 0
        self._numbered = False

    def new_lines(self) -> Iterator[JournalLine]:
        """Complete lines only; an incomplete last one is being written, or was torn with its writer.

        Raises:
            JournalError: naming file and line, for any damage but a torn last line.
        """
        return (line for line, _ in self._new())

    def new_records(self) -> Iterator[Record]:
        """The same as the JSON objects that they are; for scripts."""
        return (record for _, record in self._new())

    def _new(self) -> Iterator[tuple[JournalLine, Record]]:
        if not self._path.exists():
            return
        with open(self._path, "rb") as file:
            file.seek(self._offset)
            for text in file:
                if not text.endswith(b"\n"):
                    return  # nothing depended on it: orders leave only after their line is complete
                offset, self._offset = self._offset, self._offset + len(text)
                self._num_lines += 1
                try:
                    record = content_of(text)
                    line = decode(record, self._num_lines, offset, self._numbered)
                except ValueError as error:
                    raise damaged(self._path, self._num_lines, str(error)) from error
                self._numbered = "number" in record
                yield line, record


def damaged(path: Path, number: int, what: str) -> JournalError:
    """The error that a line of a journal cannot be what was written there."""
    return JournalError(
        f"{path}, line {number}: {what}; the journal was changed or damaged there, so the run cannot go on: restore "
        f"the file, or keep the first {number - 1} lines of it"
    )


def lines(path: Path) -> Iterator[JournalLine]:
    """All lines of a journal, oldest first; none where it is missing.

    Raises:
        JournalError: naming file and line, for any damage but a torn last line.
    """
    return Tail(path).new_lines()


def read(path: Path) -> Iterator[Record]:
    """The same as the JSON objects that they are, each checked; for scripts."""
    return Tail(path).new_records()


def read_at(path: Path, offset: int) -> Event:
    """The event of the line that begins there.

    Raises:
        JournalError: no intact line does.
    """
    with open(path, "rb") as file:
        file.seek(offset)
        try:
            return decode(content_of(file.readline()), None, offset).event
        except ValueError as error:
            raise JournalError(
                f"{path}, byte {offset}: {error}; the journal was changed or damaged there while the run was being read"
            ) from error
