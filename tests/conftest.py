"""How tests start real ranks: with the mpirun of the environment, a time limit, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from nestedga.record import journal

REPOSITORY = Path(__file__).parents[1]

# No test asserts a time, not even its own: machines and their load differ.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_collection_modifyitems(items):
    for item in items:
        if "mpi" in item.fixturenames or "nestedga" in item.fixturenames:
            item.add_marker(pytest.mark.mpi)


def mpirun(ranks: int) -> list[str]:
    """The command before ``python``: a launcher with more ranks than cores if need be, or none for 0 ranks."""
    if ranks == 0:
        return [sys.executable]
    return ["mpirun", "--oversubscribe", "--bind-to", "none", "-np", str(ranks), sys.executable]


def environment() -> dict[str, str]:
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # this environment's mpirun and horovodrun
    return {**os.environ, **root, "PATH": path, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}


@dataclass
class Answer:
    code: int
    out: str
    err: str
    folder: Path

    @property
    def summary(self) -> dict:
        return json.loads((self.folder / "summary.json").read_text())

    @property
    def records(self) -> list[dict]:
        return list(journal.read(self.folder / "journal.jsonl"))

    @property
    def outcome(self) -> str:
        """Members and evaluations without what may differ: times, and the group that happened to do it."""
        members = {r["member"]["id"]: r["member"] for r in self.records if r["event"] == "ask"}
        told = {
            r["evaluation"]["member_id"]: (
                r["evaluation"]["fom"],
                r["evaluation"]["checksum"],
                r["evaluation"]["metrics"],
            )
            for r in self.records
            if r["event"] == "tell"
        }
        tests = [record["metrics"] for record in self.records if record["event"] == "test"]
        return json.dumps([members, told, tests], sort_keys=True)

    @property
    def said(self) -> list[str]:
        """Our own lines on stderr, without the launcher's banner."""
        return [line for line in self.err.splitlines() if line.startswith("nestedga")]


# Of Open MPI 5's launcher, once in some hundreds of starts and before it has started any rank.
LAUNCHER_FAILED = "The PMIx server's listener thread failed to start"


def run_command(command: list[str], cwd: Path, limit: float) -> subprocess.CompletedProcess:
    """Runs in a process group of its own, killed whole at the limit; again where the launcher itself failed."""
    answer = _run_once(command, cwd, limit)
    return _run_once(command, cwd, limit) if answer.returncode and LAUNCHER_FAILED in answer.stderr else answer


def _run_once(command: list[str], cwd: Path, limit: float) -> subprocess.CompletedProcess:
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        pytest.fail(f"{' '.join(command)} took more than {limit} s\n{out[-3000:]}\n{err[-3000:]}")
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@pytest.fixture
def mpi(tmp_path):
    """Runs a program of tests/ on some ranks; it must succeed."""

    def run(program: str, ranks: int, *arguments: str, limit: float = 120.0) -> str:
        answer = run_command([*mpirun(ranks), str(REPOSITORY / "tests" / program), *arguments], tmp_path, limit)
        assert answer.returncode == 0, f"{answer.stdout[-3000:]}\n{answer.stderr[-6000:]}"
        return answer.stdout

    return run


@pytest.fixture
def nestedga(tmp_path):
    """Runs ``python -m nestedga`` on some ranks (0: without a launcher)."""

    def run(ranks: int, *overrides: str, folder: str = "run", limit: float = 180.0, code: int | None = 0) -> Answer:
        command = [*mpirun(ranks), "-m", "nestedga", f"run.dir={folder}", *overrides]
        answer = run_command(command, tmp_path, limit)
        if code is not None:
            assert answer.returncode == code, f"{answer.stdout[-3000:]}\n{answer.stderr[-6000:]}"
        return Answer(answer.returncode, answer.stdout, answer.stderr, tmp_path / folder)

    return run


@pytest.fixture
def killed(tmp_path):
    """Runs ``python -m nestedga`` and kills its launcher with SIGKILL once the journal has a number of evaluations."""

    def run(
        ranks: int,
        *overrides: str,
        after: int,
        delay: float = 0.0,
        folder: str = "run",
        part: str = "",
        limit: float = 120.0,
    ) -> bool:
        command = [*mpirun(ranks), "-m", "nestedga", f"run.dir={folder}", *overrides]
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline, told = time.monotonic() + limit, 0
        tail = journal.Tail(tmp_path / folder / part / "journal.jsonl")
        while told < after and process.poll() is None:
            told += sum(record["event"] == "tell" for record in tail.new_records())
            assert time.monotonic() < deadline, "no evaluation came"
            time.sleep(0.005)
        time.sleep(delay)
        alive = process.poll() is None
        process.kill()
        process.wait()
        return alive

    return run
