"""Several coordinators in one job: two parts of the world, whose best members migrate with their weights."""

import json

import pytest

from nestedga.job.schedule import of_run
from nestedga.record import journal
from nestedga.record.run_folder import RunFolder
from nestedga.states.state import State

FUNCTION = (
    "evaluator=function",
    "+function={_target_: tests.functions.slow_lineage, x: 0.5}",
    "+space.function.x={type: float, low: 0, high: 1}",
    "search.population_size=6",
    "search.generations=8",
)
PARTS = ("coordinator.count=2", "coordinator.migration_interval=4")


def parts_of(answer):
    """The records of each part."""
    return [list(journal.read(part.journal)) for part in RunFolder(answer.folder).parts]


def of(records, event):
    return [record for record in records if record["event"] == event]


def ancestry(parts, number, member_id):
    """Part and id of every member that trained these weights, oldest first."""
    line = []
    while True:
        if member_id < 0:
            came = next(r["origin"] for r in of(parts[number], "immigrate") if r["member"]["id"] == member_id)
            number, member_id = came["part"], came["member_id"]
        line.append((number, member_id))
        member = next(r["member"] for r in of(parts[number], "ask") if r["member"]["id"] == member_id)
        if not member["weights_parents"]:
            return line[::-1]
        member_id = member["weights_parents"][0]


def children_of_immigrants(parts):
    return [
        r["member"]["id"] for part in parts for r in of(part, "ask") if min(r["member"]["weights_parents"] or [0]) < 0
    ]


def check_weights(parts):
    """The function's figure of merit tells which members trained its weights."""
    for number, records in enumerate(parts):
        members = {r["member"]["id"]: r["member"] for r in of(records, "ask")}
        assert len(of(records, "tell")) == len(members) == 48
        for record in of(records, "tell"):
            member_id = record["evaluation"]["member_id"]
            line = [i for _, i in ancestry(parts, number, member_id)]
            x = members[member_id]["genotype"]["function.x"]
            assert record["evaluation"]["fom"] == (x - 0.3) ** 2 + 0.001 * (sum(line) % 13)


@pytest.mark.parametrize("search", ["steady_state", "pbt_async", "genetic"])
def test_the_best_migrate_with_their_weights(nestedga, search):
    answer = nestedga(4, *FUNCTION, *PARTS, f"search={search}")
    parts = parts_of(answer)
    check_weights(parts)
    assert all(of(records, "emigrate") and of(records, "immigrate") for records in parts)
    assert children_of_immigrants(parts)
    genotypes = [{json.dumps(r["member"]["genotype"]) for r in of(part, "ask")[:6]} for part in parts]
    assert not genotypes[0] & genotypes[1], "the parts begin alike"
    assert [{r["group"] for r in of(records, "order")} for records in parts] == [{0, 1}, {2, 3}]
    check_summary(answer)
    assert "nestedga: part 1: " in answer.out


def check_summary(answer):
    folder, joined = RunFolder(answer.folder), answer.summary
    summaries = [json.loads(part.summary.read_text()) for part in folder.parts]
    assert joined["status"] == "complete" and joined["evaluations"] == {"ok": 96}
    assert joined["best"]["fitness_fom"] == min(part["best"]["fitness_fom"] for part in summaries)
    assert joined["ledger"]["train"] == pytest.approx(sum(part["ledger"]["train"] for part in summaries))
    assert joined["immigrants"] == sum(len(of(records, "immigrate")) for records in parts_of(answer))
    assert [part["part"] for part in joined["parts"]] == [0, 1]
    best = folder.parts[joined["best"]["part"]]
    line = ancestry(parts_of(answer), best.number, joined["best"]["member_id"])
    history = State.load(best.best / "state.safetensors").arrays()["history"].tolist()
    assert history == [member_id for _, member_id in line]
    assert len(of_run(best.path, None, "epochs")) == len(line)
    left = [path for part in folder.parts for path in part.states.iterdir()]
    assert len(left) <= 4 and all(not path.name.startswith("-") for path in left)


def test_a_slow_search_thinks_beside_each_coordinator(nestedga):
    answer = nestedga(4, *FUNCTION, *PARTS, "search=model_based", "search.evaluations=25")
    assert answer.summary["evaluations"] == {"ok": 50} and answer.summary["immigrants"] > 0


def test_killed_and_resumed_parts_go_on_and_a_complete_one_stays(nestedga, killed):
    settings = (*FUNCTION, *PARTS, "search=steady_state")
    assert killed(4, *settings, after=10, part="part_1")
    assert killed(4, *settings, "resume=true", after=16, part="part_0", delay=0.1)
    limited = nestedga(4, *settings, "resume=true", "run.max_seconds=0.2")
    assert limited.summary["status"] == "max_seconds"
    answer = nestedga(4, *settings, "resume=true")
    parts = parts_of(answer)
    check_weights(parts)
    check_summary(answer)
    complete = nestedga(4, *settings, "resume=true")
    assert "is complete already" in complete.out
    # One part has something left to do, the other has not.
    book = RunFolder(answer.folder).parts[0].journal
    lines = book.read_bytes().splitlines(keepends=True)
    while b'"event":"tell"' not in lines[-1]:  # no more: files of what it says are gone by now
        lines.pop()
    book.write_bytes(b"".join(lines))
    again = nestedga(4, *settings, "resume=true")
    assert again.summary["status"] == "complete" and again.summary["evaluations"] == {"ok": 96}
    assert len(of(parts_of(again)[1], "tell")) == 48


def test_a_part_that_has_ended_waits_for_the_others(nestedga):
    answer = nestedga(
        3,
        *FUNCTION,
        *PARTS,
        "search=steady_state",
        "function._target_=tests.functions.slow_where_x_is_large",
        "coordinator.migration_interval=1",
        "groups.sizes=[2,1]",
    )
    assert answer.summary["evaluations"] == {"ok": 96}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("search", "generations"),
    # Of a few lines, one that is bad enough to make way for an immigrant may be long in coming.
    [(("search=steady_state",), 4), (("search=pbt_async", "search.truncation=0.5"), 12)],
    ids=["steady_state", "pbt_async"],
)
def test_networks_migrate_while_they_train(nestedga, search, generations):
    answer = nestedga(
        4,
        *search,
        "search.population_size=4",
        f"search.generations={generations}",
        "interval.epochs=1",
        "space.optimizer.momentum=null",
        "coordinator.count=2",
        "coordinator.migration_interval=2",
        limit=400.0,
    )
    parts = parts_of(answer)
    assert answer.summary["evaluations"] == {"ok": 8 * generations} and answer.summary["best"]["test"]["accuracy"] > 0.5
    assert children_of_immigrants(parts)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (
            ["coordinator.count=5"],
            "coordinator.count=5: each coordinator needs a group of its own, and 4 ranks = 4 groups x 1",
        ),
        (["coordinator.count=0"], "coordinator.count=0 must be 1 or more"),
        (["coordinator.migration_interval=3"], "one coordinator has nobody to send to"),
        (
            ["coordinator.count=2", "coordinator.migration_interval=0"],
            "coordinator.migration_interval=0 must be 1 or more",
        ),
        (
            ["coordinator.count=2", "coordinator.topology=star"],
            "coordinator.topology='star' is unknown; known: ring, random",
        ),
        ([*PARTS, "search=cma_es"], "CmaEs takes no immigrants; use one that does (genetic, model_based, "),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(nestedga, settings, complaint):
    answer = nestedga(4, *FUNCTION, *settings, code=2)
    assert len(answer.said) == 1 and complaint in answer.said[0]


def test_a_run_does_not_go_on_in_other_parts(nestedga):
    nestedga(4, *FUNCTION, "coordinator.count=2", "run.max_seconds=0.2")
    for count in (1, 4):
        answer = nestedga(4, *FUNCTION, f"coordinator.count={count}", "resume=true", code=2)
        assert len(answer.said) == 1 and f"coordinator.count={count} differs from 2" in answer.said[0]
