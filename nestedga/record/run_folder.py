"""The folder of one run: what lies where, and the lock that keeps a second writer out."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from pathlib import Path

from nestedga.errors import SettingError
from nestedga.record import journal
from nestedga.record.events import RunBegan, RunEnded
from nestedga.states.state import State

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
    def parts(self) -> list[PartFolder]:
        """Those of the parts of the world, by number; none where there is one coordinator."""
        numbers = [path.name.removeprefix("part_") for path in self.path.glob("part_*")]
        return [PartFolder(self, number) for number in sorted(int(text) for text in numbers if text.isdigit())]

    @property
    def has_run(self) -> bool:
        return self.journal.exists() or any(part.has_run for part in self.parts)

    @property
    def is_complete(self) -> bool:
        """True when the run came to its own end, False while something is left to do."""
        if parts := self.parts:
            return all(part.is_complete for part in parts)
        ends = (line.event for line in journal.lines(self.journal) if isinstance(line.event, RunEnded))
        return any(end.status == "complete" for end in ends)

    @property
    def config_digest(self) -> str:
        """SHA-256 of the file of the settings."""
        return hashlib.sha256(self.config.read_bytes()).hexdigest()

    def check_untouched(self) -> None:
        """The file of the settings is the one with which the run was begun; so is that of each part of the world.

        Raises:
            SettingError: it was changed since.
        """
        for part in self.parts:
            part.check_untouched()
        starts = (line.event for line in journal.lines(self.journal) if isinstance(line.event, RunBegan))
        digest = next((start.config_digest for start in starts if start.config_digest), None)  # format 1 has none
        if digest is not None and (not self.config.exists() or self.config_digest != digest):
            raise SettingError(
                f"resume=true: {self.config} is missing, or was changed since the run was begun (its SHA-256 differs "
                "from the journal's); restore the file, or begin a new run"
            )

    def make(self) -> None:
        """Makes the folders in which all ranks write, without what a killed job was writing."""
        for folder in (self.states, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        for half in self.states.glob("*.writing"):
            half.unlink(missing_ok=True)

    def lock(self) -> None:
        """Makes the folder and takes it for this process, as long as this object lives.

        Raises:
            SettingError: the folder cannot be written, or another process writes it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
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


class PartFolder(RunFolder):
    """That of one part of the world, inside a run's: a run folder in itself, but for the lock.

    Args:
        run: the folder of the run.
        number: of the part, from 0.
    """

    def __init__(self, run: RunFolder, number: int) -> None:
        super().__init__(run.path / f"part_{number}")
        self.number = number
        self._run = run
        self.arrivals = self.path / "arrivals"

    def make(self) -> None:
        """What has arrived and was not taken in before the job ended is removed, for nobody knows of it any more."""
        super().make()
        shutil.rmtree(self.arrivals, ignore_errors=True)
        self.arrivals.mkdir()

    def hand_over(self, member_id: int, part: int) -> None:
        """A durable state of this part, under another name in another part's folder, so that either may remove its own.

        Raises:
            SettingError: the file cannot be written there.
        """
        there = _arrival(PartFolder(self._run, part), self.number, member_id)
        try:
            try:
                os.link(self.state(member_id), there)
            except OSError:  # a file system without hard links
                shutil.copyfile(self.state(member_id), there)
        except OSError as error:
            raise SettingError(f"run.dir: {there} cannot be written ({error.strerror}); resume=true goes on") from error

    def take_in(self, part: int, member_id: int, own_id: int) -> None:
        """A state that another part has handed over becomes one of this part's."""
        os.replace(_arrival(self, part, member_id), self.state(own_id))


def _arrival(folder: PartFolder, part: int, member_id: int) -> Path:
    """Where a state that another part has handed over waits."""
    return folder.arrivals / f"{part}_{member_id:06d}.safetensors"


def choose_folder(experiment: str, run_dir: str | None, resume: bool, job: int | None) -> RunFolder | None:
    """The folder of a run; None where a resumed one is complete.

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
        print(f"nestedga: {folder.path} is complete already", flush=True)
        return None
    if not folder.has_run and job is None:
        raise SettingError(f"resume=true: run.dir={folder.path} holds no run to go on with; start without resume=true")
    return folder


def _unused(path: Path) -> Path:
    """The path, or with a number behind it where two runs began in the same second."""
    return next(p for p in (path, *(path.with_name(f"{path.name}_{i}") for i in range(2, 1000))) if not p.exists())


def newest_unfinished(runs: Path) -> RunFolder | None:
    """The newest folder under ``runs`` whose run was begun and not completed."""
    folders = [RunFolder(path) for path in sorted(runs.glob("*"), reverse=True) if RunFolder(path).has_run]
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
