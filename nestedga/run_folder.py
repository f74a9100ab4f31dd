"""The folder of one run: what lies where, and the lock that keeps a second writer out."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

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

    def lock(self) -> None:
        """Makes the folder and takes it for this process, as long as this object lives.

        Raises:
            SettingError: the folder cannot be written, or another process writes it.
        """
        try:
            for folder in (self.path, self.states, self.logs):
                folder.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.path / "lock", "w")  # noqa: SIM115 (the lock lives as long as the file is open)
        except OSError as error:
            raise SettingError(
                f"run.dir={self.path} cannot be written ({error.strerror}); choose another folder"
            ) from error
        deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise SettingError(
                        f"run.dir={self.path} is being written by another process; wait for its end or choose another"
                    ) from None
                time.sleep(0.2)


def choose_folder(experiment: str, run_dir: str | None, resume: bool, job: int | None) -> RunFolder | None:
    """The folder of a run; None for a job of a resumed multirun that is complete.

    Args:
        experiment: its name.
        run_dir: the folder given by the user, if any; a multirun's jobs lie below it.
        resume: go on with a run that is there.
        job: number in a multirun, else None.

    Raises:
        SettingError: it holds a run already, or none to go on with.
    """
    runs = Path("runs") / experiment
    if run_dir is not None:
        folder = RunFolder(Path(run_dir) if job is None else Path(run_dir) / str(job))
    elif not resume:
        stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
        path = runs / stamp if job is None else runs / f"{stamp}_job{job}"
        return RunFolder(_unused(path))
    elif job is not None:
        raise SettingError("resume=true of a multirun needs run.dir: the folder that holds its jobs' folders")
    elif (newest := newest_unfinished(runs)) is not None:
        print(f"nestedga: going on in {newest.path}", flush=True)
        folder = newest
    else:
        raise SettingError(
            f"resume=true: there is no unfinished run in {runs}; name one with run.dir, or start without resume"
        )
    if not resume:
        if folder.has_run:
            raise SettingError(
                f"run.dir={folder.path} holds a run already; add resume=true to go on with it, or choose another"
            )
        return folder
    if folder.has_run and folder.is_complete:
        if job is not None:
            print(f"nestedga: {folder.path} is complete already", flush=True)
            return None
        raise SettingError(f"resume=true: the run in {folder.path} is complete; its summary is {folder.summary}")
    if not folder.has_run and job is None:
        raise SettingError(f"resume=true: run.dir={folder.path} holds no run to go on with; start without resume=true")
    return folder


def _unused(path: Path) -> Path:
    """The path, or with a number behind it where two runs began in the same second."""
    return next(p for p in (path, *(path.with_name(f"{path.name}_{i}") for i in range(2, 1000))) if not p.exists())


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
