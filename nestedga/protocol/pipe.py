"""What is said between a coordinator and the process in which a slow search thinks.

Both ends speak in frames over a pipe: the length of the content in bytes, 4 bytes little-endian, then the content as
MessagePack. What is said first is heard first, so that the search sees one history in one order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec

from nestedga.population.member import Evaluation, Member
from nestedga.protocol.wire import as_plain

LENGTH_BYTES = 4


class Begin(msgspec.Struct, frozen=True, tag=True):
    """First of all: the configuration of which the search is made, as plain values."""

    settings: dict[str, Any]


class Adopt(msgspec.Struct, frozen=True, tag=True):
    """From the journal: a member was asked."""

    member: Member


class Tell(msgspec.Struct, frozen=True, tag=True):
    """An evaluation came in, with objectives to be minimised."""

    evaluation: Evaluation


class Immigrate(msgspec.Struct, frozen=True, tag=True):
    """A member of another search was admitted, its objectives to be minimised."""

    member: Member
    evaluation: Evaluation


class Request(msgspec.Struct, frozen=True, tag=True):
    """A request for new members.

    Attributes:
        number: which the reply repeats.
        n: at most so many members; 0: for none, but what the search has to say of itself.
    """

    number: int
    n: int


class Reply(msgspec.Struct, frozen=True, tag=True):
    """The answer to a request.

    Attributes:
        number: of the request.
        members: new ones, in order.
        needed: ids of members whose weights the search may still want.
        done: everything was asked and told.
    """

    number: int
    members: tuple[Member, ...]
    needed: frozenset[int]
    done: bool


class SearchFailed(msgspec.Struct, frozen=True, tag=True):
    """Last of all: the search has raised an exception; its trace-back."""

    trace: str


Said = Begin | Adopt | Tell | Immigrate | Request
Answered = Reply | SearchFailed

_ENCODER = msgspec.msgpack.Encoder(enc_hook=as_plain)
_SAID: msgspec.msgpack.Decoder[Said] = msgspec.msgpack.Decoder(Said)
_ANSWERED: msgspec.msgpack.Decoder[Answered] = msgspec.msgpack.Decoder(Answered)


def frame(message: Said | Answered) -> bytes:
    """A message as it goes over the pipe."""
    content = _ENCODER.encode(message)
    return len(content).to_bytes(LENGTH_BYTES, "little") + content


def heard(stream: BinaryIO) -> Iterator[Said]:
    """What a coordinator says, until its end of the pipe is closed. Waits for each message.

    Args:
        stream: blocking and buffered, so that a read is short only at the end.
    """
    while len(length := stream.read(LENGTH_BYTES)) == LENGTH_BYTES:
        num_bytes = int.from_bytes(length, "little")
        if len(content := stream.read(num_bytes)) < num_bytes:
            return
        yield _SAID.decode(content)


def take_answer(received: bytearray) -> Answered | None:
    """The first answer of what has come so far, which it is taken from; None: it is not there whole."""
    end = LENGTH_BYTES + int.from_bytes(received[:LENGTH_BYTES], "little")
    if len(received) < max(end, LENGTH_BYTES):
        return None
    answer = _ANSWERED.decode(received[LENGTH_BYTES:end])
    del received[:end]
    return answer
