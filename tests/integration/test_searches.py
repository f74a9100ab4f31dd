"""Every search runs under mpirun as a user types it; slow ones think in their own process and go on after a kill."""

from collections import deque

import msgspec
import pytest
import yaml
from threadpoolctl import threadpool_limits

from nestedga.job.plan import make_search
from nestedga.job.schema import Schema
from nestedga.record import journal
from nestedga.record.events import from_json

FUNCTION = (
    "evaluator=function",
    "+function={_target_: tests.functions.lineage, x: 0.5}",
    "+space.function.x={type: float, low: 0, high: 1}",
    "search.population_size=4",
    "search.generations=4",
)
SAMPLING = "nestedga.search.sampling.sampling.Sampling"
SLOW = ("model_based", "trust_region", "optuna")


@pytest.mark.parametrize(
    "search", ["pbt_async", "steady_state", "model_based", "trust_region", "pb2", "cma_es", "optuna", "sobol"]
)
def test_a_search_is_chosen_by_name(nestedga, search):
    answer = nestedga(3, *FUNCTION, f"search={search}")
    assert answer.summary["status"] == "complete" and answer.summary["evaluations"] == {"ok": 16}


def as_the_journal_tells(settings, records):
    """Asks a fresh search in the order of the journal; gives (what it answers, what was journalled) for each ask."""
    search = make_search(msgspec.convert(settings, Schema))
    untold, num_told = deque(), 0
    for record in records:
        if record["event"] == "tell":
            untold.append(from_json("tell", record).evaluation)
            num_told += 1
        elif record["event"] == "ask":
            while num_told - len(untold) < record.get("told", num_told):
                search.tell(untold.popleft())
            (member,) = search.ask(1)
            yield member, from_json("ask", record).member


@pytest.mark.parametrize("search", SLOW)
def test_a_slow_search_that_is_killed_goes_on_as_if_never_interrupted(nestedga, killed, search):
    settings = (*FUNCTION, f"search={search}", "function._target_=tests.functions.slow_lineage")
    assert killed(3, *settings, after=5)
    assert killed(3, *settings, "resume=true", after=3)
    answer = nestedga(3, *settings, "resume=true")
    assert answer.summary["status"] == "complete" and answer.summary["evaluations"] == {"ok": 16}
    with threadpool_limits(1):  # as in the search's process: more threads of BLAS round differently
        asks = list(as_the_journal_tells(yaml.safe_load((answer.folder / "config.yaml").read_text()), answer.records))
    assert len(asks) == 16
    assert all(asked == journalled for asked, journalled in asks)


def test_a_job_that_is_cut_while_its_search_thinks_leaves_the_next_one_alone(nestedga):
    """Its late answer was once taken in by the next job of a multirun, as that one's members."""
    settings = (*FUNCTION, "search=random", "search._target_=tests.pondering.Pondering", "run.max_seconds=6")
    folder = nestedga(2, "--multirun", "seed=1,2", *settings).folder
    for job in ("0", "1"):
        records = list(journal.read(folder / job / "journal.jsonl"))
        assert records[-1]["event"] == "end" and records[-1]["status"] == "max_seconds"
        settings = yaml.safe_load((folder / job / "config.yaml").read_text())
        settings["search"]["_target_"] = SAMPLING
        alone = make_search(msgspec.convert(settings, Schema))
        members = [from_json("ask", record).member for record in records if record["event"] == "ask"]
        assert members == alone.ask(len(members)) != []
