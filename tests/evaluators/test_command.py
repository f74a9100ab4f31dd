"""A program as a black box: whatever it does, it ends in metrics, in a failure with its output, or in one line."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from nestedga.errors import SettingError
from nestedga.evaluators.black_box import output
from nestedga.evaluators.black_box.checkpoint_folder import pack, unpack
from nestedga.evaluators.command import CommandEvaluator, CommandFailed, CommandTimeout
from nestedga.population.member import Member
from nestedga.rank.launcher import environment
from nestedga.rank.ledger import Ledger
from nestedga.rank.place import Place
from nestedga.states.state import State
from tests.conftest import REPOSITORY

PYTHON = [sys.executable, "-I", "-S"]
SAVES = ("{checkpoint_in}", "{checkpoint_out}")


class Bench:
    """An evaluator on a bench: a script is written, and run as a member."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.beats = self.rests = 0
        self.place = Place(None, 0, 0, 2, 3, Ledger("train"), self, folder)

    def beat(self):
        self.beats += 1

    def rest(self):
        self.rests += 1

    def script(self, code):
        path = self.folder / "script.py"
        path.write_text(f"import os, sys, time\n{code}")
        return [*PYTHON, str(path)]

    def open(self, arguments, *, search=None, metrics=("fom",), timeout=None, place=None, **values):
        self.settings = {"command": {"arguments": arguments, **values}, "search": search or {"inherit": "none"}}
        evaluator = CommandEvaluator(build=None, seed=1, unit="epochs", metrics=metrics, timeout_seconds=timeout)
        evaluator.open(place or self.place, self.settings)
        return evaluator

    def run(self, code, *arguments, parent=None, member_id=7, **options):
        evaluator = self.open([*self.script(code), *arguments], **options)
        return evaluator.train(Member(member_id, 0, 0, {}, (), (), 5), self.settings, parent)

    @property
    def log(self):
        return (self.folder / "member_000007.log").read_text()


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Scratch folders lie where a test can see them, and none may be left."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    yield Bench(tmp_path)
    assert list(scratch.iterdir()) == []


def is_gone(pid):
    """Ended; perhaps not collected yet by whoever adopted it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def await_end(pid, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not is_gone(pid):
        assert time.monotonic() < deadline, f"process {pid} lives on"
        time.sleep(0.02)


# Metrics


def test_placeholders_are_filled(bench):
    code = "print(sys.argv[1:]); print('FoM: 1')"
    bench.run(code, "--x={x:.3f}", "{word}", "{flag}", "{{x}}", "{budget} {member_id} {ranks} {node_rank}", 3, True,
              x=0.25, word="a 'b' \"c\"; rm -rf / $(id) `id` *", flag=False)  # fmt: skip
    said = eval(bench.log.splitlines()[0])
    assert said == ["--x=0.250", "a 'b' \"c\"; rm -rf / $(id) `id` *", "false", "{x}", "5 7 2 3", "3", "true"]


def test_placeholders_in_formats_and_of_the_test_alone(bench):
    code = "print(sys.argv[1:]); print('FoM: 1')"
    bench.run(code, "{x:>{width}}", x="a", width=3)
    assert bench.log.startswith("['  a']\n")
    evaluator = bench.open(["true"], test_arguments=[*bench.script(code), "{x}"], x=5)
    assert evaluator.test(Member(1, 0, 0, {}, (), (), 1), bench.settings, None) == {"fom": 1.0}
    assert (bench.folder / "test.log").read_text().startswith("['5']\n")


def test_the_seed_is_the_members_own(bench):
    seeds = [bench.run("print('FoM:', sys.argv[1])", "{seed}", member_id=i).metrics["fom"] for i in (1, 2, 1)]
    assert seeds[0] == seeds[2] != seeds[1]
    assert all(0 <= seed < 2**31 for seed in seeds)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("epoch 1\\nFoM: 0.5\\n", 0.5),
        ("FoM: -1.5e-3", -0.0015),
        ("fom:3", 3.0),
        ("  FOM : .5  \\r\\n", 0.5),
        ("FoM: 0.5\\nFoM: 0.50\\nend", 0.5),
        ("  3%|\\r 50%|\\rFoM: 2\\n", 2.0),
        ("[1,0]<stdout>:FoM: 4\\n", 4.0),
        ("FoM: nearly 0\\nFoM: 7\\nmy FoM: 8\\nFoM: 1 or 2\\nFoM: 1.2.3", 7.0),
    ],
)
def test_the_fom_is_read(bench, text, value):
    assert bench.run(f"sys.stdout.write('{text}')").metrics == {"fom": value}


def test_stderr_counts_and_does_not_tear_lines(bench):
    code = "sys.stderr.write(' 99%|####'); sys.stderr.flush(); print('FoM: 1', flush=True); sys.stderr.write('100%')"
    assert bench.run(code).metrics == {"fom": 1.0}
    assert bench.run("print('FoM: 2', file=sys.stderr)").metrics == {"fom": 2.0}


def test_several_metrics_by_lines_or_by_file(bench):
    lines = "print('loss: 1e3'); print('Top 5: 0.25')"
    assert bench.run(lines, metrics=["loss", "top 5"]).metrics == {"loss": 1000.0, "top 5": 0.25}
    code = "print('FoM: 1'); open(sys.argv[1], 'w').write('{\"FoM\": 2, \"more\": []}')"
    assert bench.run(code, "{result}").metrics == {"fom": 2.0}


FAILURES = {
    "nothing": ("print('hello')", "printed no line 'FoM: NUMBER'", "hello"),
    "not even a word": ("pass", "printed no line 'FoM: NUMBER'", ""),
    "two": ("print('FoM: 1'); print('FoM: 2')", "two values of FoM, 1.0 and 2.0", "FoM: 2"),
    "nan": ("print('FoM: nan')", "FoM is NaN, no finite number", "FoM: nan"),
    "infinite": ("print('FoM: -inf')", "FoM is -Infinity", "FoM: -inf"),
    "too large": ("print('FoM: 1e999')", "FoM is Infinity", "FoM: 1e999"),
    "exit code": ("print('FoM: 1'); raise SystemExit(3)", "exit code 3", "FoM: 1"),
    "exception": ("print('FoM: 1'); 1 / 0", "exit code 1", "ZeroDivisionError: division by zero"),
    "signal": ("print('FoM: 1', flush=True); os.kill(os.getpid(), 11)", "killed by SIGSEGV", "FoM: 1"),
    "no UTF-8": ("os.write(1, b'\\xff\\xfe\\n FoM\\x00: 1'); 1/0", "exit code 1", "\ufffd"),
}


@pytest.mark.parametrize(("code", "reason", "tail"), FAILURES.values(), ids=FAILURES)
def test_a_failure_tells_why_and_shows_the_end_of_the_output(bench, code, reason, tail):
    with pytest.raises(CommandFailed) as caught:
        bench.run(code)
    first, _, rest = str(caught.value).partition("\n")
    assert reason in first
    assert tail in rest


BAD_FILES = {
    "none": ("pass", "wrote no file {result}"),
    "no JSON": ("open(sys.argv[1], 'w').write('FoM: 1')", "is no JSON"),
    "no object": ("open(sys.argv[1], 'w').write('[1]')", "no JSON object"),
    "no number": ("open(sys.argv[1], 'w').write('{\"fom\": \"1\"}')", 'fom is "1", no finite number'),
    "true": ("open(sys.argv[1], 'w').write('{\"fom\": true}')", "fom is true"),
    "other names": ("open(sys.argv[1], 'w').write('{\"loss\": 1}')", "fom is null"),
    "NaN": ("open(sys.argv[1], 'w').write('{\"fom\": NaN}')", "fom is NaN"),
    "beyond floats": ("open(sys.argv[1], 'w').write('{\"fom\": 1' + '0' * 400 + '}')", "no finite number"),
    "pipe": ("os.mkfifo(sys.argv[1])", "wrote no file {result}"),
    "bytes": ("open(sys.argv[1], 'wb').write(bytes([255]))", "is no JSON"),
}


@pytest.mark.parametrize(("code", "reason"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_of_results_is_a_failure(bench, code, reason):
    with pytest.raises(CommandFailed, match=reason):
        bench.run(code, "{result}")


def test_a_flood_of_output_is_read_to_its_end_and_kept_small(bench):
    code = "for i in range(10): sys.stdout.write(('x' * 99 + '\\n') * 10_000 + 'y' * 200_000 + '\\n')\nprint('FoM: 1')"
    assert bench.run(code).metrics == {"fom": 1.0}
    log = (bench.folder / "member_000007.log").read_bytes()
    assert output.LOG_BYTES // 2 < len(log) < output.LOG_BYTES + 2 * output.TAIL_BYTES
    assert b"bytes are left out" in log and log.endswith(b"FoM: 1\n")
    with pytest.raises(CommandFailed) as caught:
        bench.run(code.replace("FoM", "FoM = "))
    assert len(str(caught.value)) < output.TAIL_BYTES + 200


# The process


def test_a_command_that_hangs_is_ended_with_all_that_it_has_started(bench):
    code = """
import signal, subprocess
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
print(os.getpid(), child.pid, flush=True)
time.sleep(600)
"""
    with pytest.raises(CommandTimeout, match="longer than evaluator.timeout_seconds=1") as caught:
        bench.run(code, timeout=1)
    assert bench.beats > 0
    for pid in str(caught.value).splitlines()[1].split():
        assert is_gone(int(pid))


def test_a_grandchild_that_holds_the_output_open_hangs_nobody(bench):
    code = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(600)
    os._exit(0)
os.wait()
time.sleep(0.2)
print("FoM: 1")
"""
    assert bench.run(code).metrics == {"fom": 1.0}
    assert is_gone(int(bench.log.splitlines()[0]))


def test_the_command_ends_when_the_rank_is_killed(bench):
    code = "print(os.getpid(), flush=True); open(sys.argv[1] + '/file', 'w').close(); time.sleep(600)"
    program = f"""
import sys, tempfile
sys.path.insert(0, {str(REPOSITORY)!r})
tempfile.tempdir = {str(bench.folder / "scratch")!r}
from pathlib import Path
from tests.evaluators.test_command import Bench
Bench(Path({str(bench.folder)!r})).run({code!r}, *{SAVES!r}[1:])
"""
    rank = subprocess.Popen([sys.executable, "-c", program])
    log = bench.folder / "member_000007.log"
    deadline = time.monotonic() + 60
    while not (log.exists() and log.read_text().endswith("\n")):
        assert time.monotonic() < deadline and rank.poll() is None
        time.sleep(0.02)
    assert len(list((bench.folder / "scratch").iterdir())) == 1
    rank.kill()
    rank.wait()
    await_end(int(log.read_text()))
    while list((bench.folder / "scratch").iterdir()):
        assert time.monotonic() < deadline, "the scratch folder is left"
        time.sleep(0.02)


def test_a_supervisor_that_is_killed_leaves_no_scratch_folder(bench):
    code = "open(sys.argv[1] + '/file', 'w').close(); print('x', flush=True); os.kill(os.getppid(), 9); time.sleep(600)"
    with pytest.raises(RuntimeError, match="supervisor was killed"):
        bench.run(code, *SAVES[1:])


def test_a_supervisor_that_cannot_be_started_leaves_no_scratch_folder(bench, monkeypatch):
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(FileNotFoundError):
        bench.run("pass")


def test_a_script_that_cannot_be_started_is_a_failure(bench):
    script = bench.folder / "script"
    script.write_text("no program")
    script.chmod(0o755)
    with pytest.raises(CommandFailed, match="could not be started: .*Exec format error"):
        bench.open([str(script)]).train(Member(1, 0, 0, {}, (), (), 1), bench.settings, None)
    with pytest.raises(CommandFailed, match="could not be started: .*null byte"):
        bench.run("", "{x}", x="a\0b")


def test_the_launchers_variables_are_scrubbed_and_the_input_is_empty(bench, monkeypatch):
    told = (
        "OMPI_COMM_WORLD_RANK",
        "PMIX_RANK",
        "PRTE_LAUNCHED",
        "PMI_FD",
        "HOROVOD_RANK",
        "SLURM_PROCID",
        "OPAL_PREFIX",
    )
    kept = ("OMPI_ALLOW_RUN_AS_ROOT", "SLURM_JOB_ID", "SLURMD_NODENAME", "MY_VARIABLE")
    for name in (*told, *kept):
        monkeypatch.setenv(name, "1")
    code = f"print(sorted(set({[*told, *kept]!r}) & set(os.environ))); print(repr(sys.stdin.read())); print('FoM: 1')"
    bench.run(code)
    assert bench.log.splitlines()[:2] == [repr(sorted(kept)), "''"]
    assert not set(environment()) & set(told)


def test_the_other_ranks_of_a_group_rest(bench):
    evaluator = bench.open(bench.script("print('FoM: 1')"), place=replace(bench.place, inner_rank=1))
    result = evaluator.train(Member(7, 0, 0, {}, (), (), 1), bench.settings, None)
    assert (result.metrics, result.state, bench.rests) == ({}, None, 1)
    assert not (bench.folder / "member_000007.log").exists()


# Checkpoints


def test_files_come_back_as_they_were(tmp_path):
    files = {"a": b"", "b/c/d.bin": bytes(range(256)) * 300, "__metadata__": b"x", "b/\u00e4 b": b"\n"}
    for name, content in files.items():
        path = tmp_path / "there" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    state = pack(tmp_path / "there")
    state.save(tmp_path / "state")
    loaded = State.load(tmp_path / "state")
    assert loaded is not None and loaded.checksum == state.checksum
    unpack(loaded, tmp_path / "back")
    back = {
        str(p.relative_to(tmp_path / "back")): p.read_bytes() for p in (tmp_path / "back").rglob("*") if p.is_file()
    }
    assert back == files


@pytest.mark.parametrize(
    "name", ["files/../a", "files/a/../../b", "files/{0}/a", "files/..", "a", "a/files/b", "{0}/a", ""]
)
def test_no_path_leads_out_of_the_folder(tmp_path, name):
    folder = tmp_path / "folder"
    folder.mkdir()
    entries, buffer = State.allocate([(name.format(tmp_path), "uint8", (1,), 1)])
    with pytest.raises(ValueError, match="no file inside a checkpoint's folder"):
        unpack(State.seal(entries, buffer), folder)
    assert [*tmp_path.rglob("*")] == [folder]


def test_a_child_begins_with_what_its_parent_saved(bench):
    code = """
history = open(sys.argv[1] + "/history").read() if os.listdir(sys.argv[1]) else ""
os.mkdir(sys.argv[2] + "/folder")
open(sys.argv[2] + "/history", "w").write(history + sys.argv[3])
print("FoM:", len(history))
"""
    parent = bench.run(code, *SAVES, "{member_id}", member_id=3)
    child = bench.run(code, *SAVES, "{member_id}", member_id=4, parent=parent.state)
    assert [parent.metrics["fom"], child.metrics["fom"]] == [0.0, 1.0]
    assert bytes(child.state.arrays()["files/history"]) == b"34"
    assert child.metrics["checkpoint_bytes"] == child.state.buffer.size


BAD_FOLDERS = {
    "empty": ("pass", "left no file in {checkpoint_out}"),
    "link": ("os.symlink('/etc/passwd', sys.argv[1] + '/file')", "symbolic link file"),
    "link to a folder": ("os.symlink('/etc', sys.argv[1] + '/folder')", "symbolic link folder"),
    "pipe": ("os.mkdir(sys.argv[1] + '/a'); os.mkfifo(sys.argv[1] + '/a/b')", "special file a/b"),
    "name": ("open(os.fsencode(sys.argv[1]) + bytes([47, 255]), 'w')", "a name that is no UTF-8"),
    "gone": ("os.rmdir(sys.argv[1])", "is no folder any more"),
    "replaced": ("os.rmdir(sys.argv[1]); os.symlink('/etc', sys.argv[1])", "is no folder any more"),
}


@pytest.mark.parametrize(("code", "reason"), BAD_FOLDERS.values(), ids=BAD_FOLDERS)
def test_what_cannot_be_inherited_is_a_failure(bench, code, reason):
    with pytest.raises(CommandFailed, match=reason):
        bench.run(f"print('FoM: 1')\n{code}", "{checkpoint_out}")


def test_files_of_two_parents_are_never_mixed(bench):
    evaluator = bench.open([*bench.script("print('FoM: 1')"), *SAVES], search={})
    with pytest.raises(CommandFailed, match="cannot be mixed, as average would"):
        evaluator.train(Member(7, 0, 0, {}, (), (), 1, inheritance="average"), bench.settings, None)
    bench.open(["true", *SAVES], search={"wrapped": {"inherit": "none", "weights": "average"}})  # nobody inherits there


def test_the_best_member_is_tested_with_what_it_saved(bench):
    code = """
if sys.argv[1] == "train":
    open(sys.argv[2] + "/file", "w").write("0.5")
print("FoM:", 1 if sys.argv[1] == "train" else open(sys.argv[2] + "/file").read())
"""
    script = bench.script(code)
    evaluator = bench.open([*script, "train", SAVES[1]], test_arguments=[*script, "test", SAVES[0]])
    member = Member(1, 0, 0, {}, (), (), 1)
    result = evaluator.train(member, bench.settings, None)
    assert evaluator.test(member, bench.settings, result.state) == {"fom": 0.5}
    assert bench.open([*script, "train", SAVES[1]]).test(member, bench.settings, result.state) == {}


# Mistakes

MISTAKES = {
    "nothing": ({"arguments": []}, r"command.arguments=\[\] runs nothing"),
    "a text": ({"arguments": "python train.py"}, "runs nothing; list the program"),
    "braces without quotes": ({"arguments": ["true", {"lr": None}]}, "is no text; quote what has braces"),
    "nobody fills": ({"arguments": ["true", "{lrr}"], "lr": 1}, "nothing fills {lrr}; the nearest is {lr} "),
    "attribute": ({"arguments": ["true", "{lr.x}"], "lr": 1}, "nothing fills {lr.x}; the nearest is {lr}"),
    "by position": ({"arguments": ["true", "{}"]}, "nothing fills {}"),
    "one brace": ({"arguments": ["true", "{lr"], "lr": 1}, "a brace that stands for itself is written twice"),
    "used by nobody": ({"arguments": ["true", "{lr}"], "lr": 1, "rl": 2}, "command.rl is used by nobody"),
    "taken": ({"arguments": ["true", "{seed}"], "seed": 1}, "{seed} is filled by the run itself"),
    "list": ({"arguments": ["true", "{x}"], "x": [1]}, r"command.x=\[1\] must be a text, a number"),
    "format": ({"arguments": ["true", "{x:d}"], "x": 0.5}, "'{x:d}' cannot be filled"),
    "program": ({"arguments": ["pyhton"]}, "begins with 'pyhton', which is no program here"),
    "test program": ({"arguments": ["true"], "test_arguments": ["pyhton"]}, "test_arguments begins with 'pyhton'"),
    "never filled": ({"arguments": ["true", "{checkpoint_in}"]}, "no {checkpoint_out}"),
    "inherit": ({"arguments": ["true"], "search": {"inherit": "weights"}}, "search.inherit=weights, but"),
    "rungs": ({"arguments": ["true"], "search": {"rungs": [1, 2]}}, "search.inherit=weights, but"),
    "mixed": ({"arguments": ["true", *SAVES], "search": {"weights": "average"}}, "files cannot be mixed"),
    "mixed inside": (
        {"arguments": ["true", *SAVES], "search": {"wrapped": {"weights": "layerwise"}}},
        "search.wrapped.weights=layerwise: files cannot be mixed",
    ),
    "timeout": ({"arguments": ["true"], "timeout": 0}, "evaluator.timeout_seconds=0 must be a number above 0"),
    "no time": ({"arguments": ["true"], "timeout": "abc"}, "evaluator.timeout_seconds='abc' must be a number above 0"),
    "metrics": ({"arguments": ["true"], "metrics": "fom"}, "must be a list of different names"),
    "a number": ({"arguments": ["true"], "metrics": [1]}, r"evaluator.metrics=\[1\] must be a list of different names"),
    "nobody fills a format": ({"arguments": ["true", "{lr:{w}}"], "lr": 1}, "nothing fills {w}; the nearest is"),
    "used by no test": (
        {"arguments": ["true", "{lr}"], "test_arguments": ["true"], "lr": 1, "rl": 2},
        "command.rl is used by nobody: command.arguments and command.test_arguments have no {rl}; the nearest is lr",
    ),
    "alike": ({"arguments": ["true"], "metrics": ["a", "A"]}, "must be a list of different names"),
}  # fmt: skip


@pytest.mark.parametrize(("settings", "says"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_at_start(bench, settings, says):
    with pytest.raises(SettingError, match=says) as caught:
        bench.open(**settings)
    assert "\n" not in str(caught.value)
