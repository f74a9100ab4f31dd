"""``python -m nestedga.watch RUN``: the live display of a run, from another terminal, read-only."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live

from nestedga.errors import SettingError
from nestedga.record.history import History
from nestedga.record.journal import Tail
from nestedga.record.run_folder import RunFolder
from nestedga.report.live.bars import render
from nestedga.report.summary import closing

POLL_SECONDS = 0.5


def main() -> None:
    """Shows the run until it ends."""
    parser = argparse.ArgumentParser(
        prog="python -m nestedga.watch", description="Shows a run while it goes on; changes nothing."
    )
    parser.add_argument("run", type=Path, help="a run folder, as in runs/digits_pbt/2026-01-31_12-00-00")
    parser.add_argument("--once", action="store_true", help="show the present state and leave")
    arguments = parser.parse_args()
    folder, console = RunFolder(arguments.run), Console()
    if not folder.has_run:
        sys.exit(
            _fail(f"{arguments.run} holds no journal; name a run folder, as in runs/digits_pbt/2026-01-31_12-00-00")
        )
    folders: Sequence[RunFolder] = folder.parts or [folder]
    tails, histories = [Tail(part.journal) for part in folders], [History(part.journal) for part in folders]

    def display() -> Group:
        return Group(*(render(history, _now(history)) for history in histories))

    try:
        with Live(console=console, refresh_per_second=4, get_renderable=display) as live:
            while True:
                for tail, history in zip(tails, histories, strict=True):
                    for line in tail.new_lines():
                        history.take(line)
                live.refresh()
                if arguments.once or all(history.status != "running" for history in histories):
                    break
                time.sleep(POLL_SECONDS)
        for part, history in zip(folders, histories, strict=True):
            if history.status != "running":
                console.print(closing(history, part))
    except SettingError as error:
        sys.exit(_fail(str(error)))
    except KeyboardInterrupt:
        pass


def _now(history: History) -> float:
    return time.time() if history.status == "running" else history.seconds.now


def _fail(message: str) -> int:
    print(f"nestedga.watch: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
