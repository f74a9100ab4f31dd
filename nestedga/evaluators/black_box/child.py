"""Runs a command beside MPI: nothing of the launcher reaches it, and nothing of it outlives this process."""

from __future__ import annotations

import contextlib
import json
import math
import os
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from nestedga.rank.launcher import environment

SUPERVISOR = Path(__file__).with_name("supervisor.py")
BEAT_SECONDS = 1.0  # between two signs of life
PIECE_BYTES = 1 << 16  # what a pipe holds (Linux)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command ended.

    Attributes:
        code: its exit code, negative for a signal; None: the kernel did not let it die.
        error: why it could not be started; else "".
        in_time: whether it ended by itself.
    """

    code: int | None
    error: str
    in_time: bool


class Child:
    """A scratch folder, and a command that is run while it exists; both end with the ``with``, or with this process.

    Forking after MPI has started is unsafe; ``subprocess`` takes vfork, as there is no ``preexec_fn``.
    """

    def __enter__(self) -> Child:
        with contextlib.ExitStack() as undo:
            self.scratch = Path(tempfile.mkdtemp(prefix="nestedga-"))
            undo.callback(shutil.rmtree, self.scratch, ignore_errors=True)
            self._rank, far = socket.socketpair()
            undo.callback(self._rank.close)
            with far:
                self._supervisor = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(SUPERVISOR), str(self.scratch)],
                    stdin=far.fileno(),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env=environment(),
                    start_new_session=True,
                )
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._rank.close()  # the supervisor ends what is left and removes the folder
        with self._supervisor:
            pass
        shutil.rmtree(self.scratch, ignore_errors=True)  # should the supervisor have been killed

    def run(
        self,
        arguments: list[str],
        limit_seconds: float,
        streams: tuple[Callable[[bytes], None], Callable[[bytes], None]],
        beat: Callable[[], None],
    ) -> Ending:
        """Runs a command to its end, or to the limit; then all that it has started has ended too.

        Args:
            arguments: program and arguments; no shell reads them.
            limit_seconds: after which it is ended.
            streams: are given what it writes to standard output and standard error, as it comes.
            beat: called about once a second.
        """
        self._rank.sendall(json.dumps(arguments).encode() + b"\n")
        deadline, in_time, answer = time.monotonic() + limit_seconds, True, b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._rank, selectors.EVENT_READ)
            for pipe, take in zip(self._pipes, streams, strict=True):
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, selectors.EVENT_READ, take)
            while not answer.endswith(b"\n"):
                beat()
                if in_time and time.monotonic() > deadline:
                    in_time = False
                    self._rank.sendall(b".")
                left = deadline - time.monotonic() if in_time else math.inf
                for key, _ in selector.select(max(0.0, min(BEAT_SECONDS, left))):
                    if key.data is None:
                        piece = self._rank.recv(PIECE_BYTES)
                        if not piece:
                            raise RuntimeError("the command's supervisor was killed")
                        answer += piece
                    elif not _pass_on(key.fd, key.data):
                        selector.unregister(key.fileobj)
        for pipe, take in zip(self._pipes, streams, strict=True):
            while _pass_on(pipe.fileno(), take):  # what lay in the pipe when the last writer ended
                pass
        said = json.loads(answer)
        return Ending(said.get("code"), said.get("error", ""), in_time)

    @property
    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self._supervisor.stdout and self._supervisor.stderr
        return self._supervisor.stdout, self._supervisor.stderr


def _pass_on(pipe: int, take: Callable[[bytes], None]) -> bool:
    """Takes what lies in a pipe; False: nothing does."""
    with contextlib.suppress(BlockingIOError):
        if piece := os.read(pipe, PIECE_BYTES):
            take(piece)
            return True
    return False
