"""Early stopping in a real run: every rung goes on with the weights of the one before."""

from tests.integration.test_breeding import lineage_of

FUNCTION = (
    "evaluator=function",
    "+function={_target_: tests.functions.slow_lineage, x: 0.5}",
    "+space.function.x={type: float, low: 0, high: 1}",
    "search=asha",
    "interval.epochs=2",
)


def check_weights(answer):
    """The function's figure of merit tells which members trained its weights."""
    members = {record["member"]["id"]: record["member"] for record in answer.records if record["event"] == "ask"}
    told = [record["evaluation"] for record in answer.records if record["event"] == "tell"]
    for evaluation in told:
        line = lineage_of(answer.records, evaluation["member_id"])
        x = members[evaluation["member_id"]]["genotype"]["function.x"]
        assert evaluation["fom"] == (x - 0.3) ** 2 + 0.001 * (sum(line) % 13)
        assert line[-1] - line[-1] % 3 in line, "an individual's first rung is not in its lineage"
    return members, told


def test_rungs_go_on_with_their_weights(nestedga):
    answer = nestedga(4, *FUNCTION, "search.wrapped.evaluations=20", "search.rungs=[1,2,4]")
    members, told = check_weights(answer)
    assert answer.summary["status"] == "complete" and answer.summary["evaluations"] == {"ok": len(told)}
    assert sum(i % 3 == 0 for i in members) == 20
    assert [sum(i % 3 == rung for i in members) for rung in range(3)] == sorted(
        (sum(i % 3 == rung for i in members) for rung in range(3)), reverse=True
    )
    assert {(i % 3, member["budget"]) for i, member in members.items()} == {(0, 2), (1, 2), (2, 4)}


def test_a_wrapped_search_that_breeds_is_stopped_by_time_and_goes_on(nestedga):
    bred = (*FUNCTION, "search@search.wrapped=genetic", "search.wrapped.generations=5")
    limited = nestedga(2, *bred, "run.max_seconds=0.5").summary
    assert limited["status"] == "max_seconds" and limited["best"] is not None
    members, told = check_weights(nestedga(2, *bred, "resume=true"))
    assert len(told) == len(members) > sum(limited["evaluations"].values())
    assert sum(i % 3 == 0 for i in members) == 20
    assert any(i % 3 == 0 and member["weights_parents"] for i, member in members.items())


def test_a_setting_of_the_wrapped_search_is_named_in_one_line(nestedga):
    answer = nestedga(1, *FUNCTION, "search@search.wrapped=genetic", "search.wrapped.population_size=1", code=2)
    assert len(answer.said) == 1 and "search.wrapped.population_size=1 leaves nobody" in answer.said[0]
