"""Communicators with real ranks."""

from dataclasses import replace

import pytest

from tests.conftest import REPOSITORY, mpirun, run_command


@pytest.mark.parametrize(("ranks", "group_size"), [(1, 1), (2, 1), (4, 2), (5, 2), (8, 2), (8, 3)])
def test_split_mail_and_states(mpi, ranks, group_size):
    assert mpi("comm/exchange_program.py", ranks, str(group_size)).count("ok") == ranks


def test_bad_donors_never_yield_a_wrong_state(mpi, tmp_path):
    assert mpi("comm/donors_program.py", 4, str(tmp_path)).count("ok") == 4


def test_an_elite_spreads_like_a_tree(mpi):
    assert mpi("comm/elite_program.py", 8).count("ok") == 8


def test_what_was_fetched_ahead_is_not_fetched_when_the_order_comes(mpi):
    out = mpi(
        "comm/prefetch_program.py",
        4,
        "run.dir=run",
        "evaluator=function",
        "search=genetic",
        "search.population_size=12",
        "search.generations=4",
        "interval.epochs=1",
        "+function={_target_: tests.functions.slow_lineage, x: 0.5}",
        "+space.function.x={type: float, low: 0, high: 1}",
    )
    fetches = [line.split()[1:] for line in out.splitlines() if line.startswith("fetch ")]
    copies = [(rank, member_id) for rank, member_id, _ in fetches]
    assert any(thread == "prefetch" for *_, thread in fetches)
    assert len(set(copies)) == len(copies)


@pytest.mark.parametrize("ranks", [3, 4])
def test_the_world_enters_new_epochs_while_threads_run(mpi, ranks):
    assert mpi("comm/epochs_program.py", ranks).count("ok") == ranks


def test_a_fault_in_a_later_epoch_ends_all_ranks(tmp_path):
    program = str(REPOSITORY / "tests/comm/epochs_program.py")
    assert run_command([*mpirun(3), program, "end"], tmp_path, limit=60.0).returncode == 3


def test_a_state_that_nobody_has_is_trained_again_and_the_job_goes_on(mpi, nestedga, tmp_path):
    overrides = (
        *("evaluator=function", "search=genetic", "search.population_size=4", "search.generations=3"),
        *("interval.epochs=1", "groups.group_size=2", "+function={_target_: tests.functions.slow_lineage, x: 0.5}"),
        "+space.function.x={type: float, low: 0, high: 1}",
    )
    undisturbed = nestedga(4, *overrides, folder="undisturbed")
    mpi("comm/unobtainable_program.py", 4, *overrides, "run.dir=run")
    journal = (tmp_path / "run" / "journal.jsonl").read_text()
    assert '"retrain"' in journal and '"retrain"' not in (undisturbed.folder / "journal.jsonl").read_text()
    assert replace(undisturbed, folder=tmp_path / "run").outcome == undisturbed.outcome
