"""What people type: one-shot, multirun, help, under a launcher and without."""

import sys

from tests.conftest import mpirun, run_command

FUNCTION = (
    "evaluator=function",
    "+function={_target_: tests.functions.lineage, x: 0.5}",
    "+space.function.x={type: float, low: 0, high: 1}",
    "search.generations=2",
)


def test_multirun_runs_every_job_in_a_folder_of_its_own(tmp_path):
    command = [
        *mpirun(3),
        "-m",
        "nestedga",
        "--multirun",
        "run.dir=sweep",
        "search=pbt,genetic",
        "seed=1,2",
        *FUNCTION,
    ]
    answer = run_command(command, tmp_path, 120)
    assert answer.returncode == 0, answer.stderr
    assert sorted(path.name for path in (tmp_path / "sweep").iterdir()) == ["0", "1", "2", "3"]
    assert all((tmp_path / "sweep" / str(job) / "summary.json").exists() for job in range(4))
    again = run_command([*command, "resume=true"], tmp_path, 120)
    assert again.returncode == 0, "a complete job of a resumed multirun is passed over"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sweep"], "Hydra wrote something by itself"


def test_multirun_trains_one_job_after_the_other(nestedga, tmp_path):
    command = [
        *mpirun(2),
        "-m",
        "nestedga",
        "--multirun",
        "groups.group_size=1,2",
        "search.generations=1",
        "run.dir=sweep",
    ]
    answer = run_command(command, tmp_path, 120)
    assert answer.returncode == 0, answer.stderr


def test_a_range_that_reaches_too_far_is_found_before_a_member_is_trained(nestedga):
    reaches = "+space.data.batch_size={type: ordinal, choices: [32, 5000]}"
    answer = nestedga(2, "+experiment=digits_pbt", reaches, code=2)
    (line,) = answer.said
    assert "space.data.batch_size may become 5000: data.batch_size=5000 must be from 1 to the 1140" in line


def test_all_ranks_agree_on_a_run_folder(tmp_path):
    answer = run_command([*mpirun(4), "-m", "nestedga", *FUNCTION], tmp_path, 60)
    assert answer.returncode == 0, answer.stderr
    assert len(list((tmp_path / "runs" / "default").iterdir())) == 1


def test_help_config_and_info_need_no_mpi(tmp_path):
    for arguments, shows in (
        (["--help"], "horovodrun -np 4"),
        (["+experiment=digits_pbt", "--cfg", "job"], "population_size: 4"),
        (["--info", "defaults-tree"], "search: pbt"),
    ):
        spy = "import runpy, sys, atexit; "
        spy += "atexit.register(lambda: print('MPI' if 'mpi4py.MPI' in sys.modules else 'no MPI'))"
        code = f"{spy}; sys.argv = ['nestedga', *{arguments!r}]; "
        code += "runpy.run_module('nestedga', run_name='__main__', alter_sys=True)"
        answer = run_command([sys.executable, "-c", code], tmp_path, 60)
        assert answer.returncode == 0, answer.stderr
        assert shows in answer.stdout and answer.stdout.splitlines()[-1] == "no MPI"
    wrong = run_command([sys.executable, "-m", "nestedga", "search=tabu", "--cfg", "job"], tmp_path, 60)
    assert wrong.returncode == 2 and len(wrong.stderr.splitlines()) == 1
    launched = run_command([*mpirun(2), "-m", "nestedga", "--cfg", "job"], tmp_path, 60)
    assert launched.stdout.count("population_size") == 1, "every rank printed it"
    assert list(tmp_path.iterdir()) == []


def test_horovodrun_starts_it(tmp_path):
    command = [
        "horovodrun",
        "-np",
        "3",
        sys.executable,
        "-m",
        "nestedga",
        "run.dir=run",
        "groups.group_size=2",
        "search.generations=1",
    ]
    answer = run_command(command, tmp_path, 120)
    assert answer.returncode == 0, answer.stderr
    assert "3 ranks = 1 group x 3" in answer.stdout
    wrong = run_command([*command, "search=tabu"], tmp_path, 120)
    assert wrong.returncode == 2, wrong.stderr
