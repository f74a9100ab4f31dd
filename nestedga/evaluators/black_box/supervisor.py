"""Watches over one command and all that it starts: a script of its own, so that it outlives a rank that is killed.

``child.py`` starts it with ``python -I -S``, which is quick; so it uses the standard library alone. Its standard input
is a socket to the rank. A line comes in: the arguments, as JSON. A line goes out when the command has ended:
``{"code": ...}``, negative for a signal, or ``{"error": ...}`` where it could not be started. One more byte from the
rank ends the command early. When the rank hangs up, or dies, the command is ended and the scratch folder removed.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import Any

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
NAP_SECONDS = 0.02
GRACE_SECONDS = 5.0  # from SIGTERM to SIGKILL: an mpirun ends its ranks on other nodes meanwhile

_libc = ctypes.CDLL(None)
_codes: dict[int, int] = {}  # of those who have ended, by process id


def main(scratch: str) -> None:
    """Runs one command for the rank at the other end of standard input."""
    signal.signal(signal.SIGTERM, lambda *_: None)  # it ends when the rank does; the command does not inherit a handler
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # whoever is orphaned below becomes a child of this process
    rank = socket.socket(fileno=0)
    try:
        with contextlib.suppress(ConnectionError):
            order = rank.makefile("rb", buffering=0).readline()
            if order.endswith(b"\n"):
                rank.sendall(json.dumps(_run(rank, json.loads(order))).encode() + b"\n")
                while rank.recv(1):
                    pass
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _run(rank: socket.socket, arguments: list[str]) -> dict[str, Any]:
    try:
        command = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # no terminal's signals
            preexec_fn=_die_with_supervisor,  # noqa: PLW1509 (there is neither MPI nor a thread in this process)
        )
    except (OSError, ValueError) as error:
        return {"error": str(error)}
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for output in (1, 2):
        os.dup2(nowhere, output)  # only the command and what it starts still hold the pipes to the rank
    while _anybody_lives() and command.pid not in _codes:
        if select.select([rank], [], [], NAP_SECONDS)[0]:
            break
    _end_all()
    return {"code": _codes.get(command.pid)}


def _die_with_supervisor() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _anybody_lives() -> bool:
    """Collects those who have ended; whether anybody is left."""
    try:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            _codes[ended[0]] = os.waitstatus_to_exitcode(ended[1])
    except ChildProcessError:
        return False
    return True


def _end_all() -> None:
    """Ends what is left; gives up on what the kernel does not let die."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        told: set[int] = set()
        deadline = time.monotonic() + GRACE_SECONDS
        while _anybody_lives() and time.monotonic() < deadline:
            for process in _descendants() - told:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process, number)
                told.add(process)
            time.sleep(NAP_SECONDS)


def _descendants() -> set[int]:
    parents = {}
    for process in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{process}/stat", "rb") as file:
            # "id (name) state parent ...", and a name may hold anything
            parents[int(process)] = int(file.read().rpartition(b")")[2].split()[1])
    found = {os.getpid()}
    while more := {process for process, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}


if __name__ == "__main__":
    main(sys.argv[1])
