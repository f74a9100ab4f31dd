"""Ordinary programs as members of real groups: they inherit files, may be ranks of their own, and die with us."""

import json
import re
import sys

import pytest

from nestedga.states.state import State
from tests.conftest import REPOSITORY, run_command
from tests.evaluators.test_command import await_end
from tests.integration.test_breeding import lineage_of

GENE = "+space.command.x={type: float, low: 0, high: 1}"

LINEAGE = """
import os, sys, time
source, target, member, x = sys.argv[1:]
history = open(source + "/history").read().split() if os.listdir(source) else []
history.append(member)
open(target + "/history", "w").write(" ".join(history))
time.sleep(0.05)
print("FoM:", (float(x) - 0.3) ** 2 + 0.001 * (sum(map(int, history)) % 13))
"""


def command(tmp_path, code, *arguments):
    """The overrides for a script; the gene x is its last argument."""
    script = tmp_path / "script.py"
    script.write_text(code)
    listed = json.dumps([sys.executable, "-I", "-S", str(script), *arguments, "{x}"])
    return (
        "evaluator=command",
        f"command.arguments={listed}",
        "+command.x=0.5",
        GENE,
    )


def pbt(tmp_path):
    inherits = command(tmp_path, LINEAGE, "{checkpoint_in}", "{checkpoint_out}", "{member_id}")
    return (*inherits, "search.population_size=4", "search.generations=4")


def test_files_carry_the_lineage_that_the_journal_tells(nestedga, tmp_path):
    answer = nestedga(4, *pbt(tmp_path), "groups.group_size=2")
    best = answer.summary["best"]
    state = State.load(answer.folder / "best" / "state.safetensors")
    history = bytes(state.arrays()["files/history"]).decode()
    assert (
        [int(member) for member in history.split()] == best["lineage"] == lineage_of(answer.records, best["member_id"])
    )
    assert answer.summary["evaluations"] == {"ok": 16}
    assert len(list((answer.folder / "logs").glob("member_*.log"))) == 16
    alone = nestedga(1, *pbt(tmp_path), folder="alone")
    assert alone.outcome == answer.outcome


@pytest.mark.slow
def test_killed_it_ends_as_if_never_interrupted(nestedga, killed, tmp_path):
    whole = nestedga(2, *pbt(tmp_path), folder="whole")
    for attempt in range(3):
        assert killed(2, *pbt(tmp_path), *(["resume=true"] if attempt else []), after=2, delay=0.04 * attempt)
    assert nestedga(2, *pbt(tmp_path), "resume=true").outcome == whole.outcome


RANKS = """
from mpi4py import MPI
world = MPI.COMM_WORLD
assert world.Get_size() == 2 and world.allreduce(world.Get_rank()) == 1
print("FoM:", world.Get_size(), flush=True)
"""


def test_a_command_may_start_its_own_mpirun(nestedga, tmp_path):
    (tmp_path / "ranks.py").write_text(RANKS)
    listed = json.dumps(["mpirun", "--oversubscribe", "-np", "{ranks}", sys.executable, "ranks.py", "{x}"])
    settings = ("evaluator=command", f"command.arguments={listed}", "+command.x=0.5", GENE)
    answer = nestedga(2, *settings, "groups.group_size=2", "search=random", "search.evaluations=2")
    assert answer.summary["evaluations"] == {"ok": 2}
    assert answer.summary["best"]["fitness_fom"] == 2.0


FAULTS = """
import sys, time
member = int(sys.argv[1])
if member == 1:
    time.sleep(600)
if member == 2:
    time.sleep(4)
print("the last words of", member)
print("FoM:", member if member != 3 else "unknown")
"""


@pytest.mark.slow
def test_faults_are_data_and_a_long_run_is_no_hang(nestedga, tmp_path):
    """With a stall limit that is shorter than what member 2 takes, on a group whose second rank only waits."""
    settings = (*command(tmp_path, FAULTS, "{member_id}"), "search=random", "search.evaluations=5")
    answer = nestedga(2, *settings, "groups.group_size=2", "run.stall_seconds=2.5", "evaluator.timeout_seconds=8")
    assert answer.summary["evaluations"] == {"ok": 3, "timeout": 1, "failed": 1}
    told = {r["evaluation"]["member_id"]: r["evaluation"] for r in answer.records if r["event"] == "tell"}
    assert "longer than evaluator.timeout_seconds=8" in told[1]["message"]
    assert "printed no line 'FoM: NUMBER'" in told[3]["message"] and "the last words of 3" in told[3]["log"]
    assert answer.summary["best"]["member_id"] == 0


KILLER = """
import os, signal, sys, time
supervisor = os.getppid()
rank = int(open(f"/proc/{supervisor}/stat").read().rpartition(")")[2].split()[1])
open(sys.argv[1], "w").write(f"{os.getpid()} {supervisor}")
os.kill(rank, signal.SIGKILL)
time.sleep(600)
"""


def test_a_command_dies_with_its_rank(nestedga, tmp_path):
    pids = tmp_path / "pids"
    nestedga(2, *command(tmp_path, KILLER, str(pids)), "search=random", "search.evaluations=1", code=None, limit=60)
    for pid in pids.read_text().split():
        await_end(int(pid))


@pytest.mark.slow
def test_the_documented_example_runs(tmp_path):
    page = (REPOSITORY / "docs" / "black_box.md").read_text()
    script = re.search(r"```python\n# file: train.py\n(.*?)```", page, re.DOTALL).group(1)
    (tmp_path / "train.py").write_text(script)
    commands = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    assert len(commands) == 2
    for text in commands:
        answer = run_command(["bash", "-c", text], tmp_path, 240)
        assert answer.returncode == 0, answer.stderr
    summary = json.loads(next((tmp_path / "runs" / "command_pbt").glob("*/summary.json")).read_text())
    assert summary["evaluations"] == {"ok": 12}
    assert summary["best"]["fitness_fom"] < 0.9, "it has learned nothing"
    assert summary["best"]["test"]["fom"] < 0.9


def test_a_mistake_is_one_line(nestedga):
    answer = nestedga(2, "evaluator=command", 'command.arguments=[true,"{y}"]', "+command.x=1", GENE, code=2, limit=60)
    assert len(answer.said) == 1 and "nothing fills {y}; the nearest is {x}" in answer.said[0], answer.err
