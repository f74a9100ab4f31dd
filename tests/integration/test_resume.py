"""A run goes on where it was killed, and ends with the same bits."""

import random

import pytest

FUNCTION = (
    "evaluator=function",
    "+function={_target_: tests.functions.slow_lineage, x: 0.5}",
    "+space.function.x={type: float, low: 0, high: 1}",
    "search.population_size=5",
    "search.generations=8",
)
DIGITS = ("groups.group_size=2", "search.generations=4", "interval.epochs=1", "space.optimizer.momentum=null")


def test_killed_ten_times_a_search_ends_as_if_never_interrupted(nestedga, killed):
    whole = nestedga(2, *FUNCTION, folder="whole")
    dice = random.Random(0)
    kills = 0
    for _ in range(10):
        kills += killed(
            2,
            *FUNCTION,
            *(["resume=true"] if kills else []),
            after=dice.randint(1, 3),
            delay=0.1 * dice.random(),
        )
    assert kills == 10
    pieces = nestedga(2, *FUNCTION, "resume=true")
    assert pieces.outcome == whole.outcome


@pytest.mark.long
def test_killed_in_training_it_ends_with_the_same_bits(nestedga, killed):
    whole = nestedga(4, *DIGITS, folder="whole")
    dice = random.Random(1)
    for attempt in range(3):
        assert killed(
            4,
            *DIGITS,
            *(["resume=true"] if attempt else []),
            after=dice.randint(1, 4),
            delay=0.3 * dice.random(),
        )
    pieces = nestedga(4, *DIGITS, "resume=true")
    assert pieces.outcome == whole.outcome
    assert pieces.summary["best"] == whole.summary["best"]


def test_without_resume_an_existing_run_is_not_touched(nestedga):
    first = nestedga(1, *FUNCTION, "search.generations=2")
    again = nestedga(1, *FUNCTION, "search.generations=2", code=2)
    assert "holds a run already; add resume=true" in again.said[0]
    assert again.outcome == first.outcome
    complete = nestedga(1, *FUNCTION, "search.generations=2", "resume=true")
    assert "is complete already" in complete.out and complete.outcome == first.outcome


def test_another_configuration_is_refused_by_name(nestedga, killed):
    assert killed(1, *FUNCTION, after=2)
    answer = nestedga(1, *FUNCTION, "resume=true", "search.truncation=0.4", code=2)
    assert "search.truncation=0.4 differs from 0.2" in answer.said[0]


def test_settings_changed_in_their_file_are_refused(nestedga, killed, tmp_path):
    assert killed(1, *FUNCTION, after=2)
    with (tmp_path / "run" / "config.yaml").open("a") as file:
        file.write("# a word more\n")
    answer = nestedga(1, *FUNCTION, "resume=true", code=2)
    assert len(answer.said) == 1 and "was changed since the run was begun" in answer.said[0]


def test_damage_names_file_and_line(nestedga, killed, tmp_path):
    assert killed(1, *FUNCTION, after=3)
    journal = tmp_path / "run" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"0", b"1", 1)
    journal.write_bytes(b"".join(lines))
    broken = nestedga(1, *FUNCTION, "resume=true", code=2)
    assert "journal.jsonl, line 3" in broken.said[0]


def test_a_second_writer_is_kept_out(nestedga, killed, tmp_path):
    import fcntl

    assert killed(1, *FUNCTION, after=2)
    with (tmp_path / "run" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        answer = nestedga(1, *FUNCTION, "resume=true", code=2)
    assert "is being written by another process" in answer.said[0]


def test_a_time_limit_ends_the_run_and_resume_goes_on(nestedga):
    limited = nestedga(2, *FUNCTION, "run.max_seconds=0.5")
    assert limited.summary["status"] == "max_seconds"
    done = sum(limited.summary["evaluations"].values())
    assert 0 < done < 40
    assert nestedga(2, *FUNCTION, "resume=true").outcome.count("weights_parents") == 40


def test_the_newest_unfinished_run_is_found(tmp_path):
    from tests.conftest import mpirun, run_command

    command = [*mpirun(2), "-m", "nestedga", *FUNCTION, "search.generations=3"]
    run_command([*command, "run.max_seconds=0.3"], tmp_path, 60)
    answer = run_command([*command, "resume=true"], tmp_path, 60)
    assert answer.returncode == 0 and "going on in runs/default/" in answer.stdout
    nothing = run_command([*command, "resume=true"], tmp_path, 60)
    assert nothing.returncode == 2 and "no unfinished run" in nothing.stderr
