"""The folder of one run: what lies where, and the lock that keeps a second writer out."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO

from nestedga import journal
from nestedga.errors import SettingError
from nestedga.state import State

LOCK_PATIENCE_SECONDS = 20.0  # how long the ranks of a killed launcher may take to end themselves


class RunFolder:
    """Paths inside a run folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = path / "journal.jsonl"
        self.config = path / "config.yaml"
        self.summary = path / "summary.json"
        self.states = path / "states"
        self.tensorboard = path / "tensorboard"
        self.logs = path / "logs"
        self.best = path / "best"

    def state(self, member_id: int) -> Path:
        return self.states / f"{member_id:06d}.safetensors"

    # Durable copies of states, as the coordinator wants them

    def all(self) -> list[int]:
        return [int(path.stem) for path in self.states.glob("*.safetensors")]

    def intact(self, member_id: int) -> bool:
        return State.load(self.state(member_id)) is not None

    def remove(self, member_id: int) -> None:
        self.state(member_id).unlink(missing_ok=True)

    @property
    def has_run(self) -> bool:
        return self.journal.exists()

    @property
    def is_complete(self) -> bool:
        """True when the run came to its own end, False while something is left to do."""
        return any(record["event"] == "end" and record["status"] == "complete" for record in journal.read(self.journal))

    def lock(self) -> IO[str]:
        """Makes the folder and takes it for this process until the process ends.

        Raises:
            SettingError: the folder cannot be written, or another process writes it.
        """
        try:
            for folder in (self.path, self.states, self.logs):
                folder.mkdir(parents=True, exist_ok=True)
            file = open(self.path / "lock", "w")  # noqa: SIM115 (the lock lives as long as the file is open)
        except OSError as error:
            raise SettingError(
                f"run.dir={self.path} cannot be written ({error.strerror}); choose another folder"
            ) from error
        deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return file
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise SettingError(
                        f"run.dir={self.path} is being written by another process; wait for its end or choose another"
                    ) from None
                time.sleep(0.2)


def newest_unfinished(runs: Path) -> RunFolder | None:
    """The newest folder under ``runs`` whose run was begun and not completed."""
    folders = [RunFolder(path) for path in sorted(runs.glob("*"), reverse=True) if (path / "journal.jsonl").exists()]
    return next((folder for folder in folders if not folder.is_complete), None)


def write_beside(path: Path, text: str) -> None:
    """Writes a small file so that its name never stands for half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".writing")
    with open(beside, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
