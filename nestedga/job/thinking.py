"""Where a job's search thinks: in the coordinator's process or, where it is slow, in one of its own.

The process is started by ``exec``, as forking is unsafe once MPI has started; so it may be started at any time, by
whichever rank is the coordinator.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import asdict
from typing import Any

import msgspec
from threadpoolctl import threadpool_limits

from nestedga.coordination.remote_thinker import RemoteThinker, think
from nestedga.coordination.thinker import LocalThinker, Thinker
from nestedga.job.plan import Plan, make_search
from nestedga.job.schema import Schema
from nestedga.rank.launcher import die_with_parent, environment
from nestedga.search.base import Search

NICENESS = 10  # of the process: a core that trains comes first


def make_thinker(plan: Plan) -> Thinker:
    """The search of a job; its process, where it needs one, starts while the caller goes on."""
    if not plan.search.slow:
        return LocalThinker(plan.search)
    process = subprocess.Popen(
        [sys.executable, "-m", "nestedga.job.thinking"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
        start_new_session=True,  # an interrupt is its parent's to answer
    )
    return RemoteThinker(process, asdict(plan.settings), plan.search.prefetch, plan.settings.run.stall_seconds)


def main() -> None:
    """The process: ends with its parent, by the kernel's hand or because the pipe is closed."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a search prints is no answer
        think(sys.stdin.buffer, answers, _make_search)


def _make_search(settings: dict[str, Any]) -> Search:
    search = make_search(msgspec.convert(settings, Schema))
    threadpool_limits(1)  # of the libraries that it has loaded: the other cores train
    return search


if __name__ == "__main__":
    main()
