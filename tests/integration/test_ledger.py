"""Every second of every group is accounted for, also of a run that was killed."""

import pytest

from nestedga.rank.ledger import ACTIVITIES
from tests.report.test_report import scalars

FUNCTION = (
    "evaluator=function",
    "+function={_target_: tests.functions.slow_lineage, x: 0.5}",
    "+space.function.x={type: float, low: 0, high: 1}",
    "groups.group_size=2",
    "search.population_size=6",
    "search.generations=10",
)
LARGE = (*FUNCTION, "function._target_=tests.functions.large", "search.generations=4")


def check(answer):
    summary = answer.summary
    assert set(summary["ledger"]) <= {*ACTIVITIES, "lost"}
    # From a group's last word to the end of the run nobody counts: 0.1 s a group at most, however long the run was.
    assert sum(summary["ledger"].values()) == pytest.approx(summary["group_seconds"], rel=0.01, abs=0.2)
    tags = scalars(answer.folder / "tensorboard" / "population")
    assert {f"time/{activity}" for activity in ("train", "wait")} <= set(tags)
    assert "share" in answer.out and "wait" in answer.out


@pytest.mark.parametrize("search", ["genetic", "pbt", "steady_state"])
def test_a_run_that_comes_to_its_end(nestedga, search):
    answer = nestedga(4, *FUNCTION, f"search={search}")
    check(answer)
    assert answer.summary["group_seconds"] == pytest.approx(2 * answer.summary["seconds"])
    assert "lost" not in answer.summary["ledger"]


def test_states_of_some_size_are_accounted_for(nestedga):
    answer = nestedga(4, *LARGE, "search=genetic")
    check(answer)
    assert answer.summary["ledger"]["fetch"] > 0


def test_what_a_kill_cost_is_lost(nestedga, killed):
    for kills in range(3):
        assert killed(4, *FUNCTION, *(["resume=true"] if kills else []), after=4, delay=0.05)
    answer = nestedga(4, *FUNCTION, "resume=true")
    check(answer)
    assert answer.summary["ledger"]["lost"] > 0
