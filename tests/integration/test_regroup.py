"""Groups that come and go under mpirun: the same members, states from ranks that lead no more, failures in between."""

import pytest

from nestedga.rank.ledger import ACTIVITIES
from tests.report.test_report import scalars

FUNCTION = (
    "evaluator=function",
    "+function={_target_: tests.functions.slow_lineage, x: 0.5}",
    "+space.function.x={type: float, low: 0, high: 1}",
    *("data=none", "model=none", "optimizer=none", "space=none"),
)
DIGITS = ("interval.epochs=null", "interval.steps=5", "data.micro_batches=4")
GENERATIONS = ("search=genetic", "search.population_size=3", "search.generations=5")
# Of those that begin fewer go on from rung to rung: ranks without work join them.
RUNGS = ("search=asha", "search@search.wrapped=genetic", "search.rungs=[1,2,3,4]", "search.reduction=2")
PAIRS = (*RUNGS, "search.population_size=2", "search.generations=15")
TOLERANCE = 1e-3  # of a FoM: docs/running.md has the measurement that it was taken from
SPARE, FITNESS = ("groups.resplit=spare",), ("groups.resplit=fitness",)


def check(answer):
    """The ledger sums to the groups' time; some milliseconds are blurred where ranks start and where groups form."""
    num_starts = sum(record["event"] in ("run", "resume") for record in answer.records)
    summary, blurred = answer.summary, 0.1 * num_starts + 0.03 * len(regroups(answer))
    assert set(summary["ledger"]) <= {*ACTIVITIES, "lost"}
    assert sum(summary["ledger"].values()) == pytest.approx(summary["group_seconds"], rel=0.01, abs=blurred)
    ranks = {e["ranks"] for e in told(answer)}
    slots = [scalars(folder) for folder in (answer.folder / "tensorboard").glob("slot_*")]
    assert {value for slot in slots for _, value in slot["ranks"]} == ranks


def told(answer):
    return [record["evaluation"] for record in answer.records if record["event"] == "tell"]


def regroups(answer):
    return [dict(record["groups"]) for record in answer.records if record["event"] == "regroup"]


def members(answer):
    return {record["member"]["id"]: record["member"] for record in answer.records if record["event"] == "ask"}


@pytest.fixture(scope="module")
def outcomes():
    return {}


@pytest.mark.parametrize("groups", [(), SPARE, FITNESS, ("groups.sizes=[2,1,1]",)], ids=["never", *"sfl"])
def test_generations_give_the_same_whoever_trains_them(nestedga, outcomes, groups):
    """The FoM hangs on the whole ancestry, so a wrong state would be seen."""
    answer = nestedga(4, *FUNCTION, *GENERATIONS, *groups)
    assert answer.outcome == outcomes.setdefault("first", answer.outcome)
    assert bool(regroups(answer)) == (groups in (SPARE, FITNESS))
    if groups:
        assert {evaluation["ranks"] for evaluation in told(answer)} == {1, 2}


@pytest.mark.parametrize(("ranks", "group_size"), [(4, 1), (4, 2), (6, 1), (6, 2)])
@pytest.mark.parametrize("resplit", [SPARE, FITNESS])
def test_who_goes_on_gets_the_ranks_of_those_who_do_not(nestedga, ranks, group_size, resplit):
    # So many generations that there is an end of one at which some have nothing to do, whatever the timing.
    sizes = (f"search.population_size={ranks // group_size}", "search.generations=8", f"groups.group_size={group_size}")
    answer = nestedga(ranks, *FUNCTION, *RUNGS, *resplit, *sizes)
    check(answer)
    assert answer.summary["status"] == "complete" and set(answer.summary["evaluations"]) == {"ok"}
    formed = regroups(answer)
    assert all(sum(sizes.values()) == ranks and min(sizes.values()) >= group_size for sizes in formed)
    assert max(evaluation["ranks"] for evaluation in told(answer)) > group_size


@pytest.mark.long
@pytest.mark.parametrize("resplit", [SPARE, FITNESS])
def test_networks_are_trained_by_groups_that_come_and_go(nestedga, resplit):
    """2 x 2, 1 x 4, 2 x 2 ranks and so on, each time with weights that another group has trained."""
    answer = nestedga(4, *DIGITS, *PAIRS, *resplit, "groups.group_size=2")
    check(answer)
    assert answer.summary["evaluations"].keys() == {"ok"}
    assert {evaluation["ranks"] for evaluation in told(answer)} <= {2, 4}  # who waits when, is the machine's to say
    assert answer.summary["best"]["test"]["accuracy"] > 0.2


def test_what_a_member_reaches_does_not_hang_on_the_ranks_that_train_it(nestedga):
    # A learning rate at which training does not diverge: there, rounding is soon all there is.
    stable = ("objective.name=loss", "objective.mode=min", "space.optimizer.lr.high=0.03")
    options = (*DIGITS, *GENERATIONS, *stable)
    fixed = nestedga(4, *options, folder="fixed")
    formed = nestedga(4, *options, *FITNESS, folder="formed")
    assert {evaluation["ranks"] for evaluation in told(fixed)} == {1}
    assert {evaluation["ranks"] for evaluation in told(formed)} >= {1, 2}
    assert members(fixed) == members(formed)
    foms = [{e["member_id"]: e["fom"] for e in told(answer)} for answer in (fixed, formed)]
    assert foms[0] == pytest.approx(foms[1], rel=TOLERANCE)


@pytest.mark.parametrize("resplit", [SPARE, FITNESS])
def test_a_run_that_was_killed_goes_on_with_groups_as_at_first(nestedga, killed, resplit):
    for kills in range(3):
        assert killed(4, *FUNCTION, *GENERATIONS, *resplit, *(["resume=true"] if kills else []), after=4, delay=0.02)
    answer = nestedga(4, *FUNCTION, *GENERATIONS, *resplit, "resume=true")
    check(answer)
    whole = nestedga(4, *FUNCTION, *GENERATIONS, folder="whole")
    assert answer.outcome == whole.outcome


def test_a_run_may_go_on_with_other_groups(nestedga, killed):
    assert killed(4, *FUNCTION, *GENERATIONS, *SPARE, after=7)
    answer = nestedga(3, *FUNCTION, *GENERATIONS, "groups.sizes=[2,1]", "resume=true")
    check(answer)
    assert answer.outcome == nestedga(2, *FUNCTION, *GENERATIONS, folder="whole").outcome


def test_a_group_works_on_after_failures_between_regroupings(nestedga):
    """World rank 1 raises now and then: in a group just formed, and before it forms another."""
    answer = nestedga(4, "model._target_=tests.models.RaisesOnOneRank", *DIGITS, *PAIRS, *SPARE, "groups.group_size=2")
    check(answer)
    failed = [evaluation for evaluation in told(answer) if evaluation["status"] == "failed"]
    assert failed and {evaluation["message"][:11] for evaluation in failed} == {"MemoryError"}
    assert {evaluation["ranks"] for evaluation in told(answer) if evaluation["status"] == "ok"} == {2, 4}
    events = [r["event"] if r["event"] != "tell" else r["evaluation"]["status"] for r in answer.records]
    first, last = events.index("failed"), len(events) - 1 - events[::-1].index("failed")
    assert "regroup" in events[first:] and "regroup" in events[:last]


def test_who_leads_no_more_brings_its_states_to_disk_and_says_so(nestedga):
    """They are large, so their group is gone before they are written; a run ends when its whole front is on disk."""
    large = ("function._target_=tests.functions.large_two", "search.generations=4", "search.rungs=[1,2]")
    objectives = ("evaluator.metrics=[a,b]", "objective.name=[a,b]", "objective.mode=[min,min]")
    answer = nestedga(4, *FUNCTION, *PAIRS, *SPARE, *large, *objectives, limit=60)
    assert answer.summary["status"] == "complete" and regroups(answer)
    front = {f"{member['member_id']:06d}.safetensors" for member in answer.summary["pareto_front"]}
    assert {path.name for path in (answer.folder / "states").iterdir()} == front


def test_children_of_the_best_go_to_the_largest_group(nestedga):
    answer = nestedga(4, *FUNCTION, *GENERATIONS, "groups.sizes=[1,2,1]")
    check(answer)
    foms = {evaluation["member_id"]: evaluation["fom"] for evaluation in told(answer)}
    ranks = {evaluation["member_id"]: evaluation["ranks"] for evaluation in told(answer)}
    for generation in range(1, 5):
        of_it = [member for member in members(answer).values() if member["generation"] == generation]
        best = min(of_it, key=lambda member: foms[member["weights_parents"][0]])
        largest = max(of_it, key=lambda member: ranks[member["id"]])
        assert foms[best["weights_parents"][0]] == foms[largest["weights_parents"][0]]


def test_a_list_that_does_not_fit_is_refused_with_the_sums(nestedga):
    answer = nestedga(2, "groups.sizes=[2,1]", code=2)
    assert answer.said == [
        "nestedga: groups.sizes=[2, 1]: 2 + 1 = 3 ranks, but the world has 2; start 3 ranks or name sizes that sum to 2"
    ]
