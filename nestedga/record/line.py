"""One line of the journal: an event, when it was, and where it stands; as JSON with a checksum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from isal import isal_zlib

from nestedga.protocol.wire import as_plain
from nestedga.record.events import EVENTS, Event, from_json

_ENCODER = msgspec.json.Encoder(enc_hook=as_plain)
_DECODER = msgspec.json.Decoder()
_WORDS = {kind: word.encode() for word, kind in EVENTS.items()}


class JournalLine(NamedTuple):
    """A line of a journal. A tuple, for one is made several times for each evaluation.

    Attributes:
        number: which line of its file, from 1.
        time: when it was made, in seconds since the epoch.
        offset: where it begins in its file, in bytes.
        event: what happened.
    """

    number: int
    time: float
    offset: int
    event: Event


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What every line has, besides its event's fields; format 1 has no number."""

    event: str
    time: float
    number: int | None = None


def encode(line: JournalLine) -> bytes:
    """As it stands in the file; its last key is the CRC-32 of all before. JSON has no NaN: it becomes null."""
    number, time, _, event = line
    content = b'{"event":"%b","number":%d,"time":%b,%b' % (
        _WORDS[type(event)],
        number,
        _ENCODER.encode(time),
        _ENCODER.encode(event)[1:],
    )
    return b'%b,"crc":"%08x"}\n' % (content[:-1], isal_zlib.crc32(content))


def content_of(line: bytes) -> dict[str, Any]:
    """What stands in a line, its checksum left out.

    Args:
        line: with its end of line.

    Raises:
        ValueError: the line is not what was written.
    """
    content, mark, rest = line.rpartition(b',"crc":"')
    content += b"}"
    if not mark or rest != f'{isal_zlib.crc32(content):08x}"}}\n'.encode():
        raise ValueError("checksum does not match")
    record = _DECODER.decode(content)
    if not isinstance(record, dict):
        raise ValueError("no JSON object")
    return record


def decode(record: dict[str, Any], number: int | None, offset: int, numbered: bool = False) -> JournalLine:
    """The line that a record is of.

    Args:
        record: from ``content_of``.
        number: which line of its file it is; None: whichever it says.
        offset: where it begins.
        numbered: lines before it have numbers, so it must have one.

    Raises:
        ValueError: it is another line, or of another shape; in one line.
    """
    stamp = msgspec.convert(record, _Stamp)
    if number is not None and stamp.number != number and (numbered or stamp.number is not None):
        said = "has no number" if stamp.number is None else f"is number {stamp.number}"
        raise ValueError(f"{said}, and {number} is due here: lines are missing, doubled or swapped")
    return JournalLine(stamp.number or number or 0, stamp.time, offset, from_json(stamp.event, record))
