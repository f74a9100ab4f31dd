"""The journal: an append-only file of JSON lines, and the truth about a run.

Resume, TensorBoard, watch and report are readings of it. Every line carries the CRC-32 of its own content. A torn
last line (the writer was killed) is forgiven; any other damage is an error that names file and line.

Events, in the order in which a run writes them:

    run     what runs: names, sizes, versions              ask    the search asked for a member
    resume  the same again, at a restart                   order  a group was given a member
    test    the best member on the test split              tell   a group handed in an evaluation
    end     how the run ended                              lost   a group died; its member is handed out again
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nestedga.errors import SettingError

Record = dict[str, Any]
EVENTS = ("run", "resume", "ask", "order", "tell", "lost", "test", "end")


class JournalError(SettingError):
    """The journal is damaged where that cannot be forgiven."""


class Journal:
    """Appends records. ``record`` is cheap; nothing is certain before ``flush`` returns.

    Args:
        path: the file; made where missing, its torn last line cut off.
        listener: called with each record (live displays).
    """

    def __init__(self, path: Path, listener: Callable[[Record], None] = lambda record: None) -> None:
        self._listener = listener
        self._waiting: list[bytes] = []
        intact = path.read_bytes().rfind(b"\n") + 1 if path.exists() else 0
        self._file = open(path, "ab")  # noqa: SIM115 (lives as long as the journal)
        self._file.truncate(intact)

    def record(self, event: str, **content: Any) -> None:
        assert event in EVENTS, event
        record = {"event": event, "time": time.time(), **content}
        self._waiting.append(encode(record))
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


def encode(record: Record) -> bytes:
    """One line; its last key is the checksum of all before."""
    content = json.dumps(record, separators=(",", ":"), allow_nan=False)
    return f'{content[:-1]},"crc":"{zlib.crc32(content.encode()):08x}"}}\n'.encode()


def decode(line: bytes) -> Record:
    """The reverse of ``encode``.

    Raises:
        ValueError: the line is not what was written.
    """
    content, mark, rest = line.rpartition(b',"crc":"')
    content += b"}"
    if not mark or rest != f'{zlib.crc32(content):08x}"}}\n'.encode():
        raise ValueError("checksum does not match")
    record = json.loads(content)
    if record.get("event") not in EVENTS:
        raise ValueError(f"unknown event {record.get('event')!r}")
    return record  # type: ignore[no-any-return]


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
                self._offset += len(line)
                self._line += 1
                try:
                    yield decode(line)
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
