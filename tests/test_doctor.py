"""The doctor names what is there, tries groups side by side, and says what is wrong and how to mend it."""

import re
import sys

import pytest

from tests.conftest import mpirun, run_command


@pytest.fixture
def doctor(tmp_path):
    """Runs the doctor on some ranks (0: without a launcher), after some Python that spoils something."""

    def run(ranks, *options, spoil="pass", launcher_options=()):
        code = f"import runpy, sys\n{spoil}\nrunpy.run_module('nestedga.doctor', run_name='__main__')"
        launcher, *rest = mpirun(ranks)
        return run_command([launcher, *launcher_options, *rest, "-c", code, *options], tmp_path, limit=120)

    return run


def test_without_a_launcher_it_names_what_is_there(doctor):
    answer = doctor(0)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    facts = dict(re.split(r"  +", line, maxsplit=1) for line in answer.stdout.splitlines()[:-1])
    assert facts["Python"] == sys.version.split()[0]
    assert "MPI_THREAD_MULTIPLE" in facts["MPI"]
    assert "built with MPI" in facts["Horovod"]
    assert {"nestedga", "torch", "DALI", "fault tolerance", "node", "ranks per node"} < set(facts)
    assert facts["layout"] == "1 rank = 1 group x 1"
    assert facts["group 0"].endswith("ok")
    assert answer.stdout.endswith("all is well\n")


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("options", "layout", "groups"),
    [
        ((), "4 ranks = 2 groups x 2", ("0 on cpu, 1 on cpu", "2 on cpu, 3 on cpu")),
        (("--group-size", "3"), "4 ranks = 1 group x 4", ("0 on cpu, 1 on cpu, 2 on cpu, 3 on cpu",)),
    ],
)
def test_under_a_launcher_each_group_reduces_and_rank_0_alone_prints(doctor, options, layout, groups):
    answer = doctor(4, *options, spoil="import torch; torch.cuda.is_available = lambda: False")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert layout in answer.stdout
    assert answer.stdout.count("all is well") == answer.stdout.count("nestedga  ") == 1
    found = re.findall(r"^group \d +world ranks (.*); (\d+) allreduces/s, \d+ MB/s; ok$", answer.stdout, re.MULTILINE)
    assert tuple(who for who, _ in found) == groups
    assert all(int(rate) > 0 for _, rate in found)


@pytest.mark.mpi
def test_fault_tolerance_is_seen(doctor):
    assert "supported, switched off" in doctor(1).stdout
    assert "supported, switched on" in doctor(1, launcher_options=("--with-ft", "ulfm")).stdout


SPOILT = {
    "no torch": ("sys.modules['torch'] = None", "torch: not installed; bash launch/setup.sh"),
    "no Horovod": ("sys.modules['horovod'] = None", "Horovod: not installed; bash launch/setup.sh"),
    "no mpi4py": ("sys.modules['mpi4py'] = None", "mpi4py: not installed; bash launch/setup.sh"),
    "no numpy": ("sys.modules['numpy'] = None", "numpy: not installed; bash launch/setup.sh"),
    "no threads": ("import mpi4py; mpi4py.rc.thread_level = 'serialized'", "no MPI_THREAD_MULTIPLE"),
    "no MPI in Horovod": (
        "import horovod.torch; horovod.torch.mpi_built = lambda: False",
        "HOROVOD_WITH_MPI=1",
    ),
    "a foreign launcher": (
        "import os; os.environ['OMPI_COMM_WORLD_LOCAL_SIZE'] = '4'",
        "4 ranks were started and MPI sees one",
    ),
    "a wrong sum": (
        "from nestedga.training.data_parallel import DataParallel as D; D.sum_ = lambda self, t, name: t.add_(1)",
        "a sum over the group is 2 and should be 1",
    ),
}


@pytest.mark.parametrize(("spoil", "said"), SPOILT.values(), ids=SPOILT)
def test_what_is_wrong_is_named_with_its_remedy(doctor, spoil, said):
    answer = doctor(0, spoil=spoil)
    assert answer.returncode == 1, answer.stdout + answer.stderr
    wrong = [line for line in answer.stdout.splitlines() if line.startswith("wrong: ")]
    assert any(said in line for line in wrong), answer.stdout + answer.stderr
    assert "Traceback" not in answer.stderr
    assert "all is well" not in answer.stdout


@pytest.mark.mpi
def test_what_is_wrong_on_one_rank_alone_is_named_with_the_rank(doctor):
    spoil = "import os\nif os.environ['OMPI_COMM_WORLD_RANK'] == '1': sys.modules['{}'] = None"
    for package in ("torch", "mpi4py"):
        answer = doctor(2, spoil=spoil.format(package))
        assert answer.returncode == 1
        assert f"wrong: world rank 1: {package}: not installed" in answer.stdout


def test_a_group_larger_than_the_world_is_refused(doctor):
    answer = doctor(0, "--group-size", "2")
    assert answer.returncode == 2
    assert "wrong: groups.group_size=2 is larger than the world of 1 rank" in answer.stdout
