"""One contract for all collectives; a rank alone needs none; one that is missing is named, and never replaced."""

import sys

import pytest

from nestedga.errors import SettingError
from nestedga.training.collectives import COLLECTIVES, REMEDIES, find_collectives
from tests.conftest import mpirun, run_command

TINY = ("run.dir=run", "data=synthetic", "data.num_samples=64", "data.fitness_size=32", "data.batch_size=16")
SHORT = (*TINY, "model.in_channels=3", "model.width=4", "search.generations=1", "search.population_size=2")


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("name", COLLECTIVES)
def test_every_class_keeps_its_promises(mpi, name, ranks):
    assert "all promises kept" in mpi("training/collectives/collectives_program.py", ranks, name)


def run_after(folder, ranks, spoil, *overrides):
    """``python -m nestedga`` after some Python."""
    code = f"import runpy, sys\n{spoil}\nrunpy.run_module('nestedga', run_name='__main__')"
    launcher, *rest = mpirun(ranks)
    return run_command([launcher, *rest, "-c", code, *SHORT, *overrides], folder, limit=120)


NOT_INSTALLED = """
from importlib import metadata
sys.modules['horovod'] = None
version = metadata.version
def without(name):
    if name == 'horovod':
        raise metadata.PackageNotFoundError(name)
    return version(name)
metadata.version = without
"""


LOOKS = """
from nestedga.evaluators.training import TrainingEvaluator
close = TrainingEvaluator.close
def look(self):
    print('horovod' in sys.modules)
    close(self)
TrainingEvaluator.close = look
"""


def test_a_rank_alone_loads_none(tmp_path):
    answer = run_after(tmp_path, 0, LOOKS)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stdout.splitlines()[-1] == "False"


def test_a_rank_alone_trains_where_none_is_installed(tmp_path):
    answer = run_after(tmp_path, 0, NOT_INSTALLED)
    assert answer.returncode == 0, answer.stdout + answer.stderr


ON_ONE = "import os\nif os.environ['OMPI_COMM_WORLD_RANK'] == '1':\n    sys.modules['horovod'] = None"


@pytest.mark.mpi
@pytest.mark.parametrize("spoil", [NOT_INSTALLED, ON_ONE], ids=["on all ranks", "on one rank"])
def test_a_missing_package_is_one_line_and_ends_all_ranks(tmp_path, spoil):
    answer = run_after(tmp_path, 2, spoil, "groups.group_size=2")
    assert answer.returncode == 2, answer.stdout + answer.stderr
    said = [line for line in answer.stderr.splitlines() if "training.collectives=horovod" in line]
    assert len(said) == 1 and "Traceback" not in answer.stderr


@pytest.mark.mpi
def test_who_may_have_partners_later_needs_it_at_the_start(tmp_path):
    answer = run_after(tmp_path, 2, NOT_INSTALLED, "groups.resplit=spare")
    assert answer.returncode == 2, answer.stdout + answer.stderr
    assert "bash launch/setup.sh" in answer.stderr


def test_an_unknown_name_is_refused_also_where_none_is_needed(tmp_path):
    answer = run_after(tmp_path, 0, "pass", "training.collectives=smoke_signals")
    assert answer.returncode == 2, answer.stdout + answer.stderr
    assert "training.collectives='smoke_signals' is unknown; use horovod" in answer.stderr


@pytest.mark.parametrize("name", COLLECTIVES)
def test_the_remedy_stands_beside_the_name(monkeypatch, name):
    monkeypatch.setitem(sys.modules, f"nestedga.training.collectives.{name}", None)
    with pytest.raises(SettingError) as caught:
        find_collectives(name)
    assert f"training.collectives={name}" in str(caught.value) and REMEDIES[name] in str(caught.value)
