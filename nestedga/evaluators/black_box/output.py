"""What a command tells: metrics in its output or in a file, and the end of the output for people."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

TAIL_LINES, TAIL_BYTES = 40, 8192  # of a failure's message; the journal keeps it
LOG_BYTES = 1 << 20  # of one member's log
LINE_BYTES = 1 << 16  # of one line; a longer one is cut
RESULT_BYTES = 1 << 20  # of a file of a few numbers

# A number as the C library prints it, alone behind a name. horovodrun marks lines with the rank that wrote them.
_NUMBER = rb"[-+]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?|nan|inf(?:inity)?)"
_LINE = rb"^[ \t]*(?:\[[\d,]+\]<std(?:out|err)>:[ \t]*)?(%s)[ \t]*:[ \t]*(" + _NUMBER + rb")[ \t]*$"


class Output:
    """Takes in standard output and standard error, in constant memory.

    Args:
        names: of the metrics, of which lines such as ``FoM: 0.25`` tell; upper and lower case are alike.
        log: a file that gets the first megabyte, and the end; None: none.
    """

    def __init__(self, names: Sequence[str], log: Path | None) -> None:
        self._names = names
        self._pattern = re.compile(
            _LINE % b"|".join(re.escape(name).encode() for name in names), re.IGNORECASE | re.MULTILINE
        )
        self._values: dict[str, dict[str, float]] = {name.lower(): {} for name in names}  # each by its text
        self._tail = b""
        self._log_path = log
        self._num_logged = self._num_left_out = 0

    def __enter__(self) -> Output:
        self._log: IO[bytes] | None = open(self._log_path, "wb", buffering=0) if self._log_path else None
        return self

    def __exit__(self, *_: object) -> None:
        if self._log:
            if self._num_left_out:
                self._log.write(b"[%d bytes are left out; the end:]\n" % max(0, self._num_left_out - len(self._tail)))
                self._log.write(self._tail)
            self._log.close()

    def stream(self) -> Callable[[bytes], None]:
        """One of the streams that come together here line by line; an empty piece ends it."""
        rest = b""

        def take(piece: bytes) -> None:
            nonlocal rest
            rest += piece.replace(b"\r", b"\n")  # progress bars go back to the beginning of the line
            end = rest.rfind(b"\n") + 1
            lines, rest = rest[:end], rest[end:]
            if rest and (not piece or len(rest) > LINE_BYTES):
                lines, rest = lines + rest + b"\n", b""
            if lines:
                self._take(lines)

        return take

    def metrics(self) -> dict[str, float]:
        """The metrics by name.

        Raises:
            ValueError: one was not printed, or is no finite number, or has two values.
        """
        found = {}
        for name in self._names:
            values = list(self._values[name.lower()].values())
            shown = "FoM" if name.lower() == "fom" else name
            if not values:
                raise ValueError(f"it printed no line '{shown}: NUMBER'")
            if len(values) > 1:
                raise ValueError(
                    f"it printed two values of {shown}, {values[0]} and {values[1]}; let it print one, at the end"
                )
            found[name] = _finite(shown, values[0])
        return found

    def end(self) -> str:
        """The last lines."""
        lines = self._tail.decode("utf-8", "replace").splitlines()[-TAIL_LINES:]
        return "\n".join(lines)

    def _take(self, lines: bytes) -> None:
        for match in self._pattern.finditer(lines):
            values = self._values[match[1].decode().lower()]
            if len(values) < 2:
                value = float(match[2])
                values[repr(value)] = value
        self._tail = (self._tail + lines)[-TAIL_BYTES:]
        if self._log and self._num_logged + len(lines) <= LOG_BYTES and not self._num_left_out:
            self._log.write(lines)
            self._num_logged += len(lines)
        else:
            self._num_left_out += len(lines)


def read_result(path: Path, names: Sequence[str]) -> dict[str, float]:
    """The metrics by name, from a file with a flat JSON object of numbers.

    Raises:
        ValueError: there is none, or one of them is not there, or no finite number.
    """
    if not path.is_file():
        raise ValueError("it wrote no file {result}")
    with open(path, "rb") as file:
        content = file.read(RESULT_BYTES)
    try:
        given = json.loads(content, parse_int=float)  # one that is too large becomes infinite
    except ValueError as error:
        raise ValueError(f"its file {{result}} is no JSON: {error}") from error
    if not isinstance(given, dict):
        raise ValueError('its file {result} is no JSON object such as {"fom": 0.25}')
    values = {name.lower(): value for name, value in given.items()}
    return {name: _finite(name, values.get(name.lower())) for name in names}


def _finite(name: str, value: object) -> float:
    if not isinstance(value, float) or not math.isfinite(value):
        raise ValueError(f"its {name} is {json.dumps(value)}, no finite number")
    return value
