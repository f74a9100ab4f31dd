"""Weights arrive exactly where breeding says, for any number of ranks and groups."""

import numpy as np
import pytest

from nestedga.states.state import State

FUNCTION = (
    "evaluator=function",
    "+function={_target_: tests.functions.lineage, x: 0.5}",
    "+space.function.x={type: float, low: 0, high: 1}",
)


def lineage_of(records, member_id):
    members = {record["member"]["id"]: record["member"] for record in records if record["event"] == "ask"}
    line = []
    while member_id is not None:
        line.append(member_id)
        member_id = members[member_id]["weights_parents"][0] if members[member_id]["weights_parents"] else None
    return line[::-1]


@pytest.mark.parametrize("ranks", [0, 1, 2, 4, 5, 8])
@pytest.mark.parametrize("search", ["pbt", "genetic"])
def test_weights_carry_the_lineage_that_the_journal_tells(nestedga, ranks, search):
    group_size = 1 if ranks < 2 else 2
    answer = nestedga(
        ranks,
        *FUNCTION,
        f"search={search}",
        f"groups.group_size={group_size}",
        "search.population_size=5",
        "search.generations=5",
    )
    best = answer.summary["best"]
    state = State.load(answer.folder / "best" / "state.safetensors")
    history = state.arrays()["history"].tolist()
    assert history == best["lineage"] == lineage_of(answer.records, best["member_id"])
    assert answer.summary["status"] == "complete" and answer.summary["evaluations"] == {"ok": 25}


@pytest.mark.parametrize("search", ["pbt", "genetic"])
def test_the_outcome_is_the_same_for_1_2_and_4_groups(nestedga, search):
    outcomes = [
        nestedga(
            ranks,
            *FUNCTION,
            f"search={search}",
            "search.population_size=6",
            "search.generations=5",
            folder=f"run{ranks}",
        ).outcome
        for ranks in (1, 2, 4)
    ]
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_states_travel_between_groups_in_memory(nestedga):
    """With files that cannot be read back, breeding can only have come from memory."""
    answer = nestedga(4, *FUNCTION, "search=genetic", "search.population_size=8", "search.generations=4")
    members = {record["member"]["id"]: record["member"] for record in answer.records if record["event"] == "ask"}
    trained_by = {
        record["evaluation"]["member_id"]: record["group"] for record in answer.records if record["event"] == "tell"
    }
    moved = [i for i, member in members.items() for p in member["weights_parents"] if trained_by[i] != trained_by[p]]
    assert moved, "no child was trained elsewhere than its parent"


def test_a_large_state_arrives_whole(nestedga):
    answer = nestedga(
        3,
        "evaluator=function",
        "+function={_target_: tests.functions.large, x: 0.5, megabytes: 20}",
        "+space.function.x={type: float, low: 0, high: 1}",
        "search=genetic",
        "search.generations=3",
    )
    best = answer.summary["best"]
    array = State.load(answer.folder / "best" / "state.safetensors").arrays()["array"]
    assert np.flatnonzero(array).tolist() == sorted(best["lineage"])


def test_genes_that_are_not_active_are_in_no_genotype_and_leave_their_settings(nestedga):
    arguments = (
        "evaluator=function",
        "+function={_target_: tests.functions.two_kinds, kind: flat, x: 0.5, y: 0.25}",
        "+space.function.kind={type: categorical, choices: [flat, deep]}",
        "+space.function.x={type: float, low: 0, high: 1}",
        "+space.function.y={type: float, low: 0, high: 1, when: {function.kind: deep}}",
        "search=genetic",
        "search.population_size=6",
        "search.generations=8",
    )
    answers = [nestedga(ranks, *arguments, folder=f"run{ranks}") for ranks in (1, 2)]
    assert answers[0].outcome == answers[1].outcome
    assert answers[0].summary["evaluations"] == {"ok": 48}
    genotypes = [record["member"]["genotype"] for record in answers[0].records if record["event"] == "ask"]
    assert {genotype["function.kind"] for genotype in genotypes} == {"flat", "deep"}
    assert all(("function.y" in genotype) == (genotype["function.kind"] == "deep") for genotype in genotypes)
    assert "schedule of the best member" in answers[0].out and "function.kind" in answers[0].out
