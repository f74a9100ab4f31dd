"""A slow search thinks in a process of its own, so that it never holds up the training rank beside the coordinator.

The search is there alone, and no copy of it here: nothing is computed twice. Both ends of the pipe are in
``nestedga.protocol.pipe``; the far end is ``think``.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import time
import traceback
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, BinaryIO

from nestedga.coordination.thinker import Answer, Needed
from nestedga.population.member import Evaluation, Member
from nestedga.protocol.pipe import (
    Adopt,
    Begin,
    Immigrate,
    Reply,
    Request,
    Said,
    SearchFailed,
    Tell,
    frame,
    heard,
    take_answer,
)
from nestedga.search.base import Search

PIECE_BYTES = 1 << 16  # what a pipe holds (Linux)
MOST_UNSENT_BYTES = 1 << 22  # of a journal that is read faster than the process starts


class RemoteThinker:
    """The near end. It never waits for an answer, and what the pipe has no room for yet is kept.

    Args:
        process: which runs ``think`` on its standard input and output, both pipes; it is this one's from now on.
        settings: of which the search is made, as plain values.
        prefetch: the search's.
        limit_seconds: of one answer; the first waits for the process to start.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], settings: Mapping[str, Any], prefetch: int, limit_seconds: float
    ) -> None:
        assert process.stdin and process.stdout
        self.prefetch = prefetch
        self.done = False
        self._process = process
        self._limit_seconds = limit_seconds
        self._to, self._from = process.stdin.fileno(), process.stdout.fileno()
        for end in (self._to, self._from):
            os.set_blocking(end, False)
        self._unsent, self._received = bytearray(), bytearray()
        self._number = 0
        self._requested_at: float | None = None  # when the request that is out was made
        self._needed = Needed()
        self._say(Begin(dict(settings)))

    def request(self, n: int) -> int:
        assert self._requested_at is None, "the search thinks already"
        self._number += 1
        self._requested_at = time.monotonic()
        self._needed.request()
        self._say(Request(self._number, n))
        return self._number

    def poll(self) -> Answer | None:
        self._send()
        reply = self._receive()
        if reply is None:
            if self._requested_at is not None and time.monotonic() - self._requested_at > self._limit_seconds:
                raise RuntimeError(f"the search has not answered {self._too_long}")
            return None
        assert reply.number == self._number
        self._requested_at = None
        self._needed.answer(reply.needed)
        self.done = reply.done
        return Answer(reply.number, reply.members)

    def tell(self, evaluation: Evaluation) -> None:
        self._needed.tell(evaluation.member_id)
        self._say(Tell(evaluation))

    def immigrate(self, member: Member, evaluation: Evaluation) -> None:
        self._needed.tell(member.id)
        self._say(Immigrate(member, evaluation))

    def adopt(self, member: Member) -> None:
        self._say(Adopt(member))

    def needed(self) -> AbstractSet[int]:
        return self._needed()

    def close(self) -> None:
        """Ends the process, whatever it does: the journal has all that counts."""
        self._process.kill()
        with self._process:  # closes the pipes, and waits
            self._unsent.clear()

    def _say(self, message: Said) -> None:
        self._unsent += frame(message)
        self._send()
        if self._requested_at is None and len(self._unsent) > MOST_UNSENT_BYTES:
            self._wait_until_heard()

    def _wait_until_heard(self) -> None:
        """While nothing is asked the far end does nothing but hear, so this ends soon after it has started."""
        deadline = time.monotonic() + self._limit_seconds
        while self._unsent:
            if not select.select((), (self._to,), (), max(0.0, deadline - time.monotonic()))[1]:
                raise RuntimeError(f"the process of the search has heard nothing {self._too_long}")
            self._send()

    @property
    def _too_long(self) -> str:
        return f"for {self._limit_seconds:g} s (run.stall_seconds); resume=true goes on"

    def _send(self) -> None:
        """Writes as much as there is room for."""
        try:
            while self._unsent:
                del self._unsent[: os.write(self._to, self._unsent[:PIECE_BYTES])]
        except BlockingIOError:
            pass
        except BrokenPipeError as error:
            self._unsent.clear()
            while self._receive() is not None:  # an answer that nobody took in, before it failed
                pass
            raise RuntimeError("the process of the search has ended; resume=true goes on") from error

    def _receive(self) -> Reply | None:
        """The next reply, if it has come whole."""
        ended = False
        with contextlib.suppress(BlockingIOError):
            while not ended:
                piece = os.read(self._from, PIECE_BYTES)
                self._received += piece
                ended = not piece
        answer = take_answer(self._received)
        if isinstance(answer, SearchFailed):
            raise RuntimeError(f"the search has failed in its process:\n{answer.trace}")
        if answer is None and ended:
            raise RuntimeError("the process of the search has ended; resume=true goes on")
        return answer


def think(heard_from: BinaryIO, answer_to: BinaryIO, make_search: Callable[[dict[str, Any]], Search]) -> None:
    """The far end: does as it is told until the near end closes the pipe, or the search fails.

    Args:
        heard_from: what the near end says.
        answer_to: where it hears.
        make_search: makes the search of the settings.
    """
    search: Search
    with contextlib.suppress(BrokenPipeError):  # nobody is there any more
        for said in heard(heard_from):
            try:
                match said:
                    case Begin(settings):
                        search = make_search(settings)
                    case Adopt(member):
                        search.adopt(member)
                    case Tell(evaluation):
                        search.tell(evaluation)
                    case Immigrate(member, evaluation):
                        search.immigrate(member, evaluation)
                    case Request(number, n):
                        members = tuple(search.ask(n)) if n else ()
                        _answer(answer_to, Reply(number, members, frozenset(search.needed()), search.done))
            except BrokenPipeError:
                raise
            except Exception:  # noqa: BLE001 (whatever it is belongs to the near end)
                _answer(answer_to, SearchFailed(traceback.format_exc()))
                return


def _answer(stream: BinaryIO, answer: Reply | SearchFailed) -> None:
    stream.write(frame(answer))
    stream.flush()
