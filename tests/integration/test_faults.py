"""What goes wrong ends in an evaluation, in one line, or in a trace with its rank; never in a hang."""

import pytest

SPACE = "+space.function.x={type: float, low: 0, high: 1}"


def function(name):
    return (
        "evaluator=function",
        f"+function={{_target_: tests.functions.{name}, x: 0.5}}",
        SPACE,
        "search.generations=4",
    )


def test_a_member_that_raises_is_data(nestedga):
    answer = nestedga(4, *function("sometimes_raises"), "groups.group_size=2")
    assert answer.summary["evaluations"] == {"failed": 5, "ok": 11}
    failed = [r["evaluation"] for r in answer.records if r["event"] == "tell" and r["evaluation"]["status"] == "failed"]
    assert all("does not like" in evaluation["message"] and "Traceback" in evaluation["log"] for evaluation in failed)
    assert answer.out.count("Traceback") == 1  # in full once
    assert "world rank 0" in (answer.folder / "logs" / "rank_0000.log").read_text()


def test_one_rank_raises_while_its_partners_wait_for_it(nestedga):
    """Its own message is told, not the echo on its partners; the group goes on, the other never notices."""
    answer = nestedga(4, "model._target_=tests.models.RaisesOnOneRank", "groups.group_size=2", "search.generations=2")
    told = [(r["group"], r["evaluation"]) for r in answer.records if r["event"] == "tell"]
    assert all(evaluation["status"] == "ok" for group, evaluation in told if group == 1)
    failed = [evaluation for group, evaluation in told if group == 0 and evaluation["status"] == "failed"]
    assert failed
    assert {evaluation["message"] for evaluation in failed} == {"MemoryError: no room on this rank (inner rank 1)"}
    assert "world rank 1" in (answer.folder / "logs" / "rank_0001.log").read_text()
    assert "HorovodInternalError" in (answer.folder / "logs" / "rank_0000.log").read_text()


def test_divergence_is_a_failure(nestedga):
    answer = nestedga(
        2,
        "groups.group_size=2",
        "search.generations=1",
        "space.optimizer.lr.low=1e12",
        "space.optimizer.lr.high=1e15",
        code=1,
    )
    assert answer.summary["evaluations"] == {"failed": 4}
    assert "loss is nan" in answer.out


def test_nan_is_a_failure_and_never_best(nestedga):
    answer = nestedga(2, *function("not_a_number"))
    assert answer.summary["evaluations"] == {"failed": 8, "ok": 8}
    assert answer.summary["best"]["member_id"] % 2 == 0


def test_when_nobody_succeeds_the_job_says_so(nestedga):
    answer = nestedga(2, *function("always_raises"), code=1)
    assert answer.summary["status"] == "failed" and answer.summary["best"] is None
    assert "no member succeeded" in answer.err


@pytest.mark.parametrize("fault_tolerance", [(), ("--with-ft", "ulfm")])
def test_a_rank_that_dies_ends_the_job(tmp_path, fault_tolerance):
    from tests.conftest import mpirun, run_command

    launcher, *rest = mpirun(4)
    command = [launcher, *fault_tolerance, *rest, "-m", "nestedga", "run.dir=run", *function("dies")]
    answer = run_command(command, tmp_path, limit=60)
    assert answer.returncode != 0
    if fault_tolerance:
        assert "has died; the same command with resume=true goes on" in answer.stderr
        assert "Traceback" not in answer.stderr


def test_a_rank_that_hangs_ends_the_job_with_its_stacks(nestedga):
    answer = nestedga(2, *function("hangs"), "run.stall_seconds=3", code=1, limit=60)
    assert "made no progress for run.stall_seconds=3" in answer.err
    assert "in hangs" in answer.err


MISTAKES = {
    "search": ("search=tabu", "search=tabu is unknown; known search: agebo, asha"),
    "data": ("data=imagenet", "known data"),
    "experiment": ("+experiment=nope", "known experiment"),
    "gene": ("+space.optimizer.lrr={type: float, low: 0, high: 1}", "the nearest is optimizer.lr"),
    "gene that nobody reads": (
        "+space.groups.group_size={type: int, low: 1, high: 2}",
        "no member would notice",
    ),
    "range reversed": ("space.optimizer.lr.low=2.0", "low=2.0 is not below high=1.0"),
    "log touching zero": ("space.optimizer.lr.low=0.0", "touches zero"),
    "population of 1": ("search.population_size=1", "search.population_size=1"),
    "population of 1, genetic": (("search=genetic", "search.population_size=1"), "search.population_size=1"),
    "group larger than world": ("groups.group_size=3", "larger than the world of 2 ranks"),
    "remainder": ("groups.remainder=drop", "use spread or refuse"),
    "data folder missing": (("data=cifar10", "model=resnet20", "data.root=nowhere"), "data.root=nowhere"),
    "unwritable folder": ("run.dir=/proc/nestedga", "run.dir=/proc/nestedga cannot be written"),
    "type": ("seed=abc", "could not be converted to Integer"),
    "misspelt": ("search.population_sizes=3", "the nearest is search.population_size"),
    "unknown to its class": ("+model.depth=3", "it takes in_channels"),
    "no class": ("model._target_=nestedga.Nothing", "nestedga.Nothing"),
    "objective": ("objective.name=acuracy", "reported: accuracy, error, loss"),
    "interval": ("interval.steps=5", "give epochs or steps"),
    "batch": ("data.batch_size=0", "data.batch_size=0"),
    "sweep without multirun": ("seed=1,2", "--multirun"),
    "option": ("--resume", "is no option"),
    "resume of nothing": ("resume=true", "holds no run to go on with"),
    "no GPU": ("training.device=cuda", "training.device=cuda, but torch sees no GPU"),
    "wrong model for the data": (
        "model.in_channels=3",
        "model and task do not take the data's inputs of shape (64, 1, 8, 8)",
    ),
}


@pytest.mark.parametrize(("mistake", "says"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_from_one_rank_and_code_2(nestedga, mistake, says):
    overrides = (mistake,) if isinstance(mistake, str) else mistake
    answer = nestedga(2, *overrides, code=2, limit=60)
    assert len(answer.said) == 1 and says in answer.said[0], answer.err
    assert "Traceback" not in answer.err
