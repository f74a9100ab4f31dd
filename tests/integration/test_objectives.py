"""Several objectives from the command line to the summary, with real ranks."""

import random

import moocore
import numpy as np
import pytest

from nestedga.record.history import History
from nestedga.report.summary import summarise
from nestedga.states.state import State
from tests.report.test_report import scalars

TWO = (
    "evaluator=function",
    "evaluator.metrics=[a,b]",
    "objective.name=[a,b]",
    "objective.mode=[min,max]",
    "+space.function.x={type: float, low: 0, high: 1}",
    "search.population_size=6",
    "search.generations=5",
)
SIGNS = np.array([1.0, -1.0])


def function(name):
    return f"+function={{_target_: tests.functions.{name}, x: 0.5}}"


def minimised(records):
    """Objectives of all members that succeeded, by id, as read from the journal."""
    told = [record["evaluation"] for record in records if record["event"] == "tell"]
    return {e["member_id"]: SIGNS * [e["metrics"]["a"], e["metrics"]["b"]] for e in told if e["status"] == "ok"}


def front_of(values):
    """By brute force; of members with equal objectives the lowest id."""

    def beats(j, i):
        return (values[j] <= values[i]).all() and ((values[j] < values[i]).any() or j < i)

    front = [i for i in values if not any(beats(j, i) for j in values if j != i)]
    return sorted(front, key=lambda i: tuple(values[i]))


def test_the_front_of_the_summary_is_that_of_the_journal(nestedga):
    answer = nestedga(4, *TWO, function("two"), "search=genetic", "groups.group_size=2")
    values, summary = minimised(answer.records), answer.summary
    front = front_of(values)
    assert len(values) == 30 and len(front) > 1
    assert [point["member_id"] for point in summary["pareto_front"]] == front
    members = {record["member"]["id"]: record["member"] for record in answer.records if record["event"] == "ask"}
    for point in summary["pareto_front"]:
        assert point["genotype"] == members[point["member_id"]]["genotype"]
        assert (SIGNS * list(point["objectives"].values())).tolist() == values[point["member_id"]].tolist()
        history = State.load(answer.folder / "states" / f"{point['member_id']:06d}.safetensors").arrays()["history"]
        assert history[-1] == point["member_id"]

    worst = np.max(list(values.values()), axis=0)
    assert summary["hypervolume"]["reference"] == dict(zip("ab", (SIGNS * worst).tolist(), strict=True))
    assert summary["hypervolume"]["value"] == pytest.approx(
        moocore.hypervolume(np.array(list(values.values())), ref=worst)
    )
    best = min(values, key=lambda i: (tuple(values[i]), i))
    assert summary["best"]["member_id"] == best == front[0]
    assert [r["member_id"] for r in answer.records if r["event"] == "test"] == [best]
    assert answer.records[-1]["front"] == front
    assert f"members {len(front)}, hypervolume" in answer.out and "Pareto front" in answer.out

    seen = scalars(answer.folder / "tensorboard" / "population")
    volumes = [volume for _, volume in seen["front/hypervolume"]]
    assert volumes == sorted(volumes) and volumes[-1] == pytest.approx(summary["hypervolume"]["value"], rel=1e-6)
    assert seen["front/members"][-1][1] == len(front)
    assert seen["b/best_so_far"][-1][1] == pytest.approx(max(-v[1] for v in values.values()), rel=1e-6)

    again = History.of(answer.folder / "journal.jsonl")
    assert summarise(again)["pareto_front"] == summary["pareto_front"]


def test_killed_and_resumed_it_ends_with_the_same_front(nestedga, killed):
    run = (*TWO, function("slow_two"), "search=genetic")
    whole = nestedga(2, *run, folder="whole")
    dice = random.Random(0)
    for kills in range(2):
        more = ["resume=true"] if kills else []
        assert killed(2, *run, *more, after=dice.randint(1, 4), delay=0.1 * dice.random())
    pieces = nestedga(2, *run, "resume=true")
    assert pieces.outcome == whole.outcome
    for key in ("best", "pareto_front", "hypervolume"):
        assert pieces.summary[key] == whole.summary[key]


def test_who_lacks_an_objective_has_failed(nestedga):
    answer = nestedga(1, *TWO, function("two_or_one"), "search=genetic")
    failed = {
        e["member_id"]: e for e in (r["evaluation"] for r in answer.records if r["event"] == "tell") if e["message"]
    }
    assert set(failed) == {i for i in range(30) if i % 4 in (1, 2)}
    assert all(e["status"] == "failed" and e["fom"] is None and e["objectives"] == [] for e in failed.values())
    assert failed[1]["message"] == "objective.name=b was not reported; reported: a"
    assert failed[2]["message"] == "the objective b is inf"
    assert not {point["member_id"] for point in answer.summary["pareto_front"]} & set(failed)


def test_a_search_of_one_objective_is_refused_in_one_line(nestedga):
    answer = nestedga(2, *TWO, function("two"), "search._target_=tests.population.test_objectives.OneObjective", code=2)
    assert len(answer.said) == 1 and "OneObjective cannot weigh 2 objectives (a, b)" in answer.said[0]


@pytest.mark.slow
def test_accuracy_and_size_of_a_network_are_weighed(nestedga):
    answer = nestedga(
        2,
        "objective.name=[accuracy,parameters]",
        "objective.mode=[max,min]",
        "+space.model.width={type: int, low: 2, high: 16, scale: log}",
        "search=genetic",
        "search.inherit=none",
        "search.generations=3",
    )
    front = answer.summary["pareto_front"]
    sizes = [point["objectives"]["parameters"] for point in front]
    assert sizes == sorted(sizes, reverse=True), "who is more accurate is larger, or the smaller would dominate"
    assert all(size == int(size) > 0 for size in sizes)
    assert "parameters" not in answer.summary["best"]["test"]
