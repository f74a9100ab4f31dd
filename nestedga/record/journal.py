"""The journal: an append-only file of JSON lines, and the truth about a run.

Resume, TensorBoard, watch and report are readings of it. Every line carries the CRC-32 of its own content. A torn
last line (the writer was killed) is forgiven; any other damage is an error that names file and line.

Events, in the order in which a run writes them:

    run     what runs: names, sizes, versions              ask      the search asked for a member
    resume  the same again, at a restart                   order    a group was given a member
    test    the best member on the test split              tell     a group handed in an evaluation
    end     how the run ended                              repeat   it trained a member again whose state was lost
                                                           regroup  ranks form other groups
                                                           lost     a group died; its member is handed out again
                                                           emigrate   a member goes to another part of the world
                                                           immigrate  one of another part was admitted
"""

from __future__ import annotations

import operator
import os
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from nestedga.errors import SettingError

EVENTS = (
    *("run", "resume", "ask", "order", "tell", "repeat", "regroup", "lost", "emigrate", "immigrate", "test", "end"),
)


class Record(dict[str, Any]):
    """The content of a line.

    Attributes:
        offset: where the line begins in its file, in bytes; -1 for a record that is of no file.
    """

    offset = -1


_SCALAR_OF_NUMPY = operator.methodcaller("item")  # exactly, as float() would not be for an integer


class JournalError(SettingError):
    """The journal is damaged where that cannot be forgiven."""


class Journal:
    """Appends records. ``record`` is cheap; nothing is certain before ``flush`` returns.

    Args:
        path: the file; made where missing, its torn last line cut off.
        listener: called with each record, before it is on disk (live displays).
        clock: seconds since the epoch; a simulation brings its own.
    """

    def __init__(
        self,
        path: Path,
        listener: Callable[[Record], None] = lambda record: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._listener = listener
        self._clock = clock
        self._waiting: list[bytes] = []
        self._file = open(path, "a+b")  # noqa: SIM115 (lives as long as the journal)
        self._end = _end_of_last_line(self._file)
        self._file.truncate(self._end)

    def record(self, event: str, **content: Any) -> None:
        assert event in EVENTS, event
        record = Record(event=event, time=self._clock(), **content)
        line = encode(record)
        record.offset = self._end
        self._end += len(line)
        self._waiting.append(line)
        self._listener(record)

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


def _end_of_last_line(file: BinaryIO) -> int:
    """Where what is complete ends; looked for from the end, for a journal may be longer than memory."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        begin = max(0, end - 2**16)
        file.seek(begin)
        if (newline := file.read(end - begin).rfind(b"\n")) >= 0:
            return begin + newline + 1
        end = begin
    return 0


def encode(record: dict[str, Any]) -> bytes:
    """One line; its last key is the checksum of all before. JSON has no NaN: it becomes null.

    Raises:
        TypeError: JSON has no such value.
    """
    content = orjson.dumps(record, default=_SCALAR_OF_NUMPY)
    return b'%b,"crc":"%08x"}\n' % (content[:-1], zlib.crc32(content))


def decode(line: bytes, offset: int = -1) -> Record:
    """The reverse of ``encode``.

    Args:
        line: with its end of line.
        offset: where it stands.

    Raises:
        ValueError: the line is not what was written.
    """
    content, mark, rest = line.rpartition(b',"crc":"')
    content += b"}"
    if not mark or rest != f'{zlib.crc32(content):08x}"}}\n'.encode():
        raise ValueError("checksum does not match")
    record = Record(orjson.loads(content))
    if record.get("event") not in EVENTS:
        raise ValueError(f"unknown event {record.get('event')!r}")
    record.offset = offset
    return record


class Tail:
    """Reads a journal, also one that is being written: each call gives what has come since the last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._line = 0

    def new_records(self) -> Iterator[Record]:
        """Complete lines only; an incomplete last one is being written, or was torn with its writer.

        Raises:
            JournalError: naming file and line, for any damage but a torn last line.
        """
        if not self._path.exists():
            return
        with open(self._path, "rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # nothing depended on it: orders leave only after their line is complete
                offset, self._offset = self._offset, self._offset + len(line)
                self._line += 1
                try:
                    yield decode(line, offset)
                except ValueError as error:
                    raise JournalError(
                        f"{self._path}, line {self._line}: {error}; the journal was changed or damaged there, so "
                        f"the run cannot go on: restore the file, or keep the first {self._line - 1} lines of it"
                    ) from error


def read(path: Path) -> Iterator[Record]:
    """All records of a journal, oldest first; none where it is missing.

    Raises:
        JournalError: naming file and line, for any damage but a torn last line.
    """
    return Tail(path).new_records()


def read_at(path: Path, offset: int) -> Record:
    """The record whose line begins there.

    Raises:
        JournalError: no intact line does.
    """
    with open(path, "rb") as file:
        file.seek(offset)
        try:
            return decode(file.readline(), offset)
        except ValueError as error:
            raise JournalError(
                f"{path}, byte {offset}: {error}; the journal was changed or damaged there while the run was being read"
            ) from error
