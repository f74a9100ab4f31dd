"""A replay trains along the schedule that an earlier run discovered, and shows it."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

EXPERIMENT = ("+experiment=digits_pbt", "interval.epochs=1")


def members_of(answer):
    return {record["member"]["id"]: record["member"] for record in answer.records if record["event"] == "ask"}


def test_the_best_line_of_a_run_is_trained_again(nestedga):
    # Half of the population explores by small steps only, so that the best may well be one whose genes have changed.
    explore = ("search.generations=2", "search.truncation=0.5", "search.resample=0", "seed=2")
    earlier = nestedga(2, *EXPERIMENT, *explore, folder="earlier")
    later = nestedga(2, *EXPERIMENT, "search=replay", "search.schedule=earlier", "seed=1", folder="later")
    before, after = members_of(earlier), members_of(later)
    line = [before[member_id] for member_id in earlier.summary["best"]["lineage"]]
    assert len(line) == len(after) == 2
    for number, (member, ancestor) in enumerate(zip(after.values(), line, strict=True)):
        assert member["genotype"] == ancestor["genotype"] and member["budget"] == ancestor["budget"] == 1
        assert member["weights_parents"] == ([number - 1] if number else [])
    assert later.summary["status"] == "complete" and later.summary["evaluations"] == {"ok": 2}
    board = EventAccumulator(str(later.folder / "tensorboard" / "slot_000")).Reload()
    shown = [(event.step, event.value) for event in board.Scalars("schedule/optimizer.lr")]
    assert shown == [(i, pytest.approx(member["genotype"]["optimizer.lr"])) for i, member in enumerate(line)]
    # The closing table has a row for each member of the best's line, at the epoch where it begins.
    assert "schedule of the best member" in later.out
    for i in later.summary["best"]["lineage"]:
        assert any(row.split()[1::2][:2] == [str(i), str(i)] for row in later.out.splitlines() if row.startswith("│"))


def test_its_result_is_the_end_of_the_schedule_and_not_the_best_on_the_way(nestedga):
    function = ("evaluator=function", "+function={_target_: tests.functions.lineage, x: 0.5}", "space=none")
    schedule = "search.schedule=[{genotype: {function.x: 0.3}}, {genotype: {function.x: 0.9}}]"
    answer = nestedga(1, *function, "search=replay", schedule)
    foms = [r["evaluation"]["fom"] for r in answer.records if r["event"] == "tell"]
    assert foms[0] < foms[1] and answer.summary["best"]["fitness_fom"] == foms[1]
    assert answer.summary["best"]["lineage"] == [0, 1]
    assert (answer.folder / "best" / "overrides.txt").read_text() == "function.x=0.9\n"


def test_a_schedule_that_cannot_be_had_is_one_line_and_code_2(nestedga):
    answer = nestedga(2, *EXPERIMENT, "search=replay", "search.schedule=nowhere", code=2)
    assert answer.said == [
        "nestedga: search.schedule=nowhere does not exist; name a run's folder, or a YAML file of intervals"
    ]
