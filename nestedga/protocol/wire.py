"""The bytes of what is said between ranks: messages and plain data, as msgpack. No bytes that come in run any code.

The first byte is the number of a message's class, or 0 for plain data. What is read is checked against the types that
the class declares. Plain data comes back with lists where tuples went in.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from nestedga.protocol.messages import (
    Dissolved,
    Durable,
    Ended,
    Evaluated,
    Failure,
    Migrant,
    Order,
    Prefetch,
    Ready,
    StateHeader,
    StateRequest,
    Stopped,
    Tested,
    Unobtainable,
)

PLAIN = (type(None), bool, int, float, str, bytes, list, tuple, dict)
# A class is told by its place here.
MESSAGES = (
    *(Ready, Evaluated, Tested, Durable, Dissolved, Stopped, Unobtainable),
    *(Order, Prefetch, Migrant, Ended, Failure, StateRequest, StateHeader),
)


def as_plain(value: Any) -> Any:
    """Of what msgspec does not know: numpy's numbers, which metrics may be."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no plain data")


_codes: dict[type, int] = {**dict.fromkeys(PLAIN, 0), **{kind: code for code, kind in enumerate(MESSAGES, start=1)}}
_encoder = msgspec.msgpack.Encoder(enc_hook=as_plain)
_decoders = (msgspec.msgpack.Decoder(), *(msgspec.msgpack.Decoder(kind) for kind in MESSAGES))


def encode(value: Any) -> bytearray:
    """Of a message, or of plain data: None, numbers, text, bytes, and lists, tuples and dicts of them.

    Raises:
        TypeError: it is neither.
    """
    code = _codes.get(type(value))
    if code is None:
        raise TypeError(f"{type(value).__name__} is no message and no plain data")
    payload = bytearray((code,))
    _encoder.encode_into(value, payload, 1)
    return payload


def decode(payload: bytes | bytearray | memoryview) -> Any:
    """The reverse of ``encode``.

    Raises:
        ValueError: no message begins so.
        msgspec.DecodeError: these are not the bytes of such a message; where its types are not met, it says which.
    """
    if not payload or payload[0] >= len(_decoders):
        raise ValueError(f"no message begins with {bytes(payload[:1])!r}")
    return _decoders[payload[0]].decode(memoryview(payload)[1:])
