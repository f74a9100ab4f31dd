"""The simulator against arithmetic: what it says of runs whose course can be worked out by hand."""

import json
import math
import subprocess
import sys
import time
from random import Random

import pytest

from nestedga.coordination.coordinator import Coordinator, Rules
from nestedga.coordination.event_log import EventLog
from nestedga.coordination.groups import Groups
from nestedga.coordination.thinker import LocalThinker
from nestedga.errors import SettingError
from nestedga.population.genes import FloatGene
from nestedga.population.member import Evaluation
from nestedga.population.space import Space
from nestedga.protocol.layout import Layout
from nestedga.protocol.messages import Ready, Source
from nestedga.record import journal
from nestedga.record.events import MemberTold
from nestedga.record.journal import Journal
from nestedga.record.members import Members
from nestedga.search.evolution.steady_state import SteadyState
from nestedga.search.model_based.model_based import ModelBased
from nestedga.search.pbt.pbt import PBT, AsynchronousPBT
from nestedga.search.sampling.sampling import Sampling
from nestedga.simulate.__main__ import run
from nestedga.simulate.clock import Clock, PlayedThinker
from nestedga.simulate.outcome import simulate
from nestedga.simulate.played import NoFiles, PlayedGroups
from nestedga.simulate.settings import DISTRIBUTIONS, SimulateConfig

SPACE = Space((FloatGene("x", 0.0, 1.0), FloatGene("y", 1e-3, 1.0, log=True)))
FREE = {"latency_seconds": 0.0, "state_bytes": 0.0, "decision": 0.0, "thinking": 0.0}
OF_THE_MACHINE = ("memory_bytes", "real_seconds")


@pytest.fixture(autouse=True)
def _no_disk(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _: None)  # how long the disk takes is no law


def search(kind=Sampling, groups=8, **more):
    more = {"population_size": groups, "generations": 10_000, "inherit": "none", **more}
    return kind(SPACE, seed=3, budget=1, **more)


def play(path, make=search, seed=0, **settings):
    config = SimulateConfig(**{"groups": 8, "evaluation": "constant", **FREE, **settings})
    config.check()
    path.mkdir(exist_ok=True)
    return simulate(config, make, SPACE, seed, path / "journal.jsonl").figures


def test_where_nothing_costs_anything_groups_always_train(tmp_path):
    figures = play(tmp_path, mean_seconds=60.0, seconds=330.0)
    assert figures["utilisation"] == pytest.approx(1.0, abs=1e-12)
    assert figures["utilisation_finished"] == pytest.approx(300.0 / 330.0, abs=1e-12)  # the last began at 300
    assert figures["evaluations"] == 8 * 5
    assert figures["coordinator_busy_share"] == figures["wait_share"] == figures["queueing_seconds"]["max"] == 0.0


def test_one_group_waits_for_two_messages_and_a_decision(tmp_path):
    figures = play(tmp_path, groups=1, mean_seconds=10.0, seconds=12_300.0, decision=1.3, latency_seconds=0.5)
    assert figures["utilisation"] == pytest.approx(10.0 / 12.3, abs=1e-9)  # 1,000 rounds, the first wait to the last
    assert figures["coordinator_busy_share"] == pytest.approx(1.3 / 12.3, abs=1e-9)
    assert figures["queueing_seconds"]["max"] == pytest.approx(1.3, abs=1e-9)


def test_groups_that_report_together_are_served_together(tmp_path):
    figures = play(tmp_path, mean_seconds=10.0, seconds=18_000.0, decision=1.0)
    assert figures["reports_per_decision"] == 8.0
    assert figures["utilisation"] == pytest.approx(10.0 / 18.0, abs=1e-9)
    assert figures["queueing_seconds"]["mean"] == pytest.approx(8.0, abs=1e-9)


def test_a_saturated_coordinator_serves_at_its_own_rate(tmp_path):
    make = lambda: search(groups=100)  # noqa: E731
    figures = play(tmp_path, make, groups=100, evaluation="lognormal", mean_seconds=1.0, seconds=1_000.0, decision=0.1)
    assert figures["coordinator_busy_share"] > 0.999
    assert figures["evaluations_per_second"] == pytest.approx(1.0 / 0.1, rel=0.03)
    # By Little's law: 100 groups at 10 a second are 10 s in a round, 1 s of which they train.
    assert figures["utilisation"] == pytest.approx(0.1, rel=0.05)


def test_a_queue_is_as_long_as_the_theory_of_one_repairman_says(tmp_path):
    # Two machines that run for exponential times of mean 1, and one repairman who needs exactly d. Both run for 1/2 on
    # average; then he repairs until no other waits when he is done, which has the probability exp(-d) each time.
    d = 0.5
    busy = d * math.exp(d)
    config = {"groups": 2, "evaluation": "journal", "journal": str(tmp_path / "exponential.jsonl")}
    book = Journal(tmp_path / "exponential.jsonl")
    rng = Random(0)
    for number in range(20_000):
        book.record(MemberTold(0, Evaluation(number, 0.0, seconds=rng.expovariate(1.0))))
    book.close()
    figures = play(tmp_path / "run", lambda: search(groups=2), **config, seconds=5_000.0, decision=d)
    assert figures["coordinator_busy_share"] == pytest.approx(busy / (busy + 0.5), rel=0.02)


SEARCHES = {
    "pbt": lambda: search(PBT, inherit="weights"),
    "pbt_async": lambda: search(AsynchronousPBT, inherit="weights"),
    "prefetching": lambda: search(AsynchronousPBT, inherit="weights", prefetch=1, population_size=16),
    "steady_state": lambda: search(SteadyState, inherit="weights"),
    "model_based": lambda: search(ModelBased),
}
COSTLY = {
    "evaluation": "lognormal",
    "mean_seconds": 60.0,
    "seconds": 1_200.0,
    "latency_seconds": 0.3,
    "state_bytes": 1e9,
    "bandwidth": 1e8,  # so that some are being fetched at the end
    "decision": 0.2,
    "thinking": 3.0,
    "failures_per_hour": 10.0,
}


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("failure", ["failed", "lost"])
@pytest.mark.parametrize("decision", [0.2, "measured"])
def test_every_second_of_every_group_is_accounted_for(tmp_path, name, failure, decision):
    figures = play(tmp_path, SEARCHES[name], **{**COSTLY, "failure": failure, "decision": decision})
    shares = [figures[share] for share in ("utilisation", "wait_share", "fetch_share", "lost_share")]
    assert sum(shares) == pytest.approx(1.0, abs=1e-9)
    assert min(shares) >= 0.0 and figures["wait_for_search_share"] <= figures["wait_share"]
    assert (shares[3] > 0.0) == (failure == "lost") and (figures["evaluations_failed"] > 0) == (failure == "failed")
    assert (figures["states_fetched"] > 0) == (name != "model_based")


@pytest.mark.parametrize("name", SEARCHES)
def test_with_given_costs_a_simulation_is_a_function_of_its_seed(tmp_path, name):
    once, again, other = (play(tmp_path / str(i), SEARCHES[name], seed=i // 2, **COSTLY) for i in range(3))
    assert comparable(once) == comparable(again) != comparable(other)
    assert (tmp_path / "0" / "journal.jsonl").read_bytes() == (tmp_path / "1" / "journal.jsonl").read_bytes()


def comparable(figures):
    return {name: value for name, value in figures.items() if name not in OF_THE_MACHINE}


@pytest.mark.parametrize("name", SEARCHES)
def test_its_journal_is_a_run_that_can_go_on(tmp_path, name):
    figures = play(tmp_path, SEARCHES[name], **COSTLY)
    records = list(journal.read(tmp_path / "journal.jsonl"))
    told = [record["evaluation"]["member_id"] for record in records if record["event"] == "tell"]
    assert len(told) >= figures["evaluations"] > 0
    assert records[-1]["event"] == "end" and records[-1]["status"] == "max_seconds"
    rebuilt = SEARCHES[name]()
    book = Journal(tmp_path / "rest.jsonl")
    coordinator = Coordinator(
        LocalThinker(rebuilt), EventLog(book, Members(("min",))), NoFiles(), Groups(Layout((1,))), Rules()
    )
    coordinator.replay(journal.lines(tmp_path / "journal.jsonl"))
    assert [coordinator.best.id] == records[-1]["front"]
    with pytest.raises(ValueError, match="told before|cannot|never asked"):
        rebuilt.tell(Evaluation(told[-1], 0.0))


def test_a_slow_search_keeps_groups_waiting_unless_it_thinks_ahead(tmp_path):
    costs = {"groups": 1, "mean_seconds": 10.0, "seconds": 1_500.0, "thinking": 5.0}
    waiting = play(tmp_path / "a", lambda: search(ModelBased, groups=1), **costs)
    assert waiting["utilisation"] == pytest.approx(10.0 / 15.0, abs=1e-9)
    assert waiting["wait_for_search_share"] == waiting["wait_share"] == pytest.approx(5.0 / 15.0, abs=1e-9)
    assert waiting["coordinator_busy_share"] == 0.0
    ahead = play(tmp_path / "b", lambda: search(ModelBased, groups=1, prefetch=1), **costs)
    assert ahead["utilisation"] > 0.99  # all but the first thought


class Sleepy(Sampling):
    """Thinks for real, but in a process of its own."""

    slow = True

    def ask(self, n):
        time.sleep(0.2)
        return super().ask(n)


def test_measured_decisions_leave_out_what_another_process_thinks(tmp_path):
    costs = {"mean_seconds": 10.0, "seconds": 50.0, "decision": "measured", "thinking": "measured"}
    figures = play(tmp_path, lambda: search(Sleepy), **costs)
    assert figures["thinking"]["seconds"]["p50"] >= 0.2
    assert figures["decision_seconds"]["p50"] < figures["thinking"]["seconds"]["p50"] / 2


def test_an_answer_that_nobody_wants_wakes_the_coordinator_once(tmp_path):
    clock = Clock()
    process = PlayedThinker(search(), clock, given=3.0)
    process.request(1)
    groups = PlayedGroups(SimulateConfig(groups=1, latency_seconds=5.0), Layout((1,)), SPACE, 0, clock, process)
    assert groups.poll_reports() == [] and clock.now == 3.0
    assert groups.poll_reports() == [Ready(0)]


def test_a_run_ends_when_the_best_is_on_disk_though_its_group_tests_while_it_writes(tmp_path):
    costs = {"groups": 1, "mean_seconds": 10.0, "latency_seconds": 0.5, "state_bytes": 0.5, "bandwidth": 1.0}
    figures = play(tmp_path, lambda: search(groups=1, generations=1), **costs, seconds=100.0)
    assert figures["evaluations"] == 1 and figures["search_ended_at_seconds"] < 20.0


def test_what_is_fetched_ahead_is_not_waited_for(tmp_path):
    costs = {"mean_seconds": 100.0, "seconds": 5_000.0, "state_bytes": 10.0, "bandwidth": 1.0}
    plain = play(tmp_path / "a", lambda: search(SteadyState, inherit="weights"), **costs)
    ahead = play(tmp_path / "b", lambda: search(SteadyState, inherit="weights", prefetch=1), **costs)
    assert plain["fetch_share"] > 0.05
    assert ahead["fetch_share"] < plain["fetch_share"] / 5


def test_a_leader_sends_one_state_after_another(tmp_path):
    config = SimulateConfig(groups=4, state_bytes=10.0, bandwidth=1.0, latency_seconds=0.5)
    groups = PlayedGroups(config, Layout((1,) * 4), SPACE, 0, Clock(), None)
    groups._held[0, 7] = 20.0
    assert groups._obtain(1, [Source(7, (0,))], at=0.0) == 30.5  # it has it at 20; 10 s of sending, a message
    assert groups._obtain(2, [Source(7, (0,))], at=0.0) == 40.5  # it sends again
    assert groups._obtain(3, [Source(7, (1, 0))], at=60.0) == 71.0  # a receiver is a source
    assert groups._obtain(3, [Source(7, (0,))], at=80.0) == 80.0  # it has it
    assert groups._obtain(3, [Source(8, ())], at=80.0) == 90.0  # from disk
    assert groups.num_fetched == 4 and groups.num_from_disk == 1


def test_failures_are_as_frequent_as_was_asked(tmp_path):
    rate, hours = 1.0, 0.5  # a group, so that an interval fails with 1 - exp(-rate * hours)
    costs = {"mean_seconds": 3600 * hours, "seconds": 1e6, "failures_per_hour": rate}
    failed = play(tmp_path / "a", failure="failed", **costs)
    share = failed["evaluations_failed"] / (failed["evaluations"] + 8)
    assert share == pytest.approx(1.0 - math.exp(-rate * hours), rel=0.05)
    lost = play(tmp_path / "b", failure="lost", **costs)
    # Until an interval succeeds pass (exp(rate t) - 1) / rate hours: the waiting time for a pause in a Poisson process.
    hours_each = (math.exp(rate * hours) - 1.0) / rate
    assert lost["lost_share"] == pytest.approx(1.0 - hours / hours_each, rel=0.05)


@pytest.mark.parametrize("name", ["constant", "lognormal", "lomax"])
def test_times_have_the_mean_that_was_asked_for(name):
    draw, rng = DISTRIBUTIONS[name](SimulateConfig(evaluation=name, mean_seconds=30.0, alpha=4.0)), Random(0)
    drawn = [draw(rng) for _ in range(100_000)]
    assert sum(drawn) / len(drawn) == pytest.approx(30.0, rel=0.02)
    assert min(drawn) >= 0.0


def test_the_lognormal_has_the_sigma_that_was_asked_for():
    draw, rng = DISTRIBUTIONS["lognormal"](SimulateConfig(sigma=0.5)), Random(0)
    logs = [math.log(draw(rng)) for _ in range(20_000)]
    mean = sum(logs) / len(logs)
    assert math.sqrt(sum((value - mean) ** 2 for value in logs) / len(logs)) == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize("name", ["constant", "lognormal", "lomax"])
def test_a_search_is_made_long_enough(name):
    config = SimulateConfig(groups=10, seconds=3600.0, evaluation=name, mean_seconds=100.0, alpha=1.2, sigma=2.0)
    draw, rng, count = DISTRIBUTIONS[name](config), Random(1), 0
    for _ in range(config.groups):
        passed = 0.0
        while passed < config.seconds:
            passed, count = passed + draw(rng), count + 1
    assert count <= config.evaluations_within()


def test_the_command_writes_figures_picture_and_journal(tmp_path, capsys):
    common = ["simulate.groups=16", "simulate.seconds=3000", "simulate.mean_seconds=100", "search.population_size=16"]
    figures = run([*common, "search=pbt_async", f"simulate.dir={tmp_path / 'a'}"])
    assert figures["search_ended_at_seconds"] is None and figures["evaluations"] > 16 * 25
    assert "utilisation" in capsys.readouterr().out
    written = json.loads((tmp_path / "a" / "figures.json").read_text())
    assert written["utilisation"] == figures["utilisation"] and len(written["curves"]["utilisation"]) == 200
    assert (tmp_path / "a" / "figures.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SettingError, match="holds a journal"):
        run([*common, f"simulate.dir={tmp_path / 'a'}"])
    short = run([*common, "search=pbt_async", "search.generations=3", f"simulate.dir={tmp_path / 'b'}"])
    assert short["evaluations"] == 3 * 16 and 0.0 < short["search_ended_at_seconds"] < 3000.0
    assert "came to its end" in capsys.readouterr().out
    # The first run's own times, drawn again.
    drawn_again = ("simulate.evaluation=journal", f"simulate.journal={tmp_path / 'a'}")
    again = run([*common, *drawn_again, f"simulate.dir={tmp_path / 'c'}"])
    times = {r["evaluation"]["seconds"] for r in journal.read(tmp_path / "a" / "journal.jsonl") if r["event"] == "tell"}
    drawn = {r["evaluation"]["seconds"] for r in journal.read(tmp_path / "c" / "journal.jsonl") if r["event"] == "tell"}
    assert drawn <= times and again["evaluations"] > 0


BAD = {
    "simulate.groups=0": "simulate.groups=0 must be 1 or more",
    "simulate.groups=many": "simulate.groups='many'",
    "simulate.group=3": "simulate.group is no setting; the nearest is simulate.groups",
    "simulate.seconds=0": "simulate.seconds=0",
    "simulate.mean_seconds=-1": "simulate.mean_seconds=-1",
    "simulate.evaluation=gauss": "use one of constant, lognormal, lomax, journal",
    "simulate.evaluation=journal": "simulate.journal=None must name a run folder",
    "simulate.alpha=1": "simulate.alpha=1.0 has no mean",
    "simulate.failure=none": "simulate.failure=none",
    "simulate.decision=fast": "simulate.decision=fast must be measured, or seconds",
    "simulate.decision=-1": "simulate.decision=-1",
    "simulate.thinking=true": "simulate.thinking=True",
    "simulate.groups=1,2": "names several values",
    "simulate.latency_seconds=nan": "simulate.latency_seconds=nan",
    "search=unheard_of": "search=unheard_of is unknown",
    "simulate.dir=/proc/nowhere": "simulate.dir=/proc/nowhere",
}


@pytest.mark.parametrize("override", BAD)
def test_bad_settings_are_refused_in_one_line(override, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingError) as caught:
        run(["simulate.seconds=10", override])
    assert BAD[override] in str(caught.value) and "\n" not in str(caught.value)


def test_a_journal_without_times_is_refused(tmp_path):
    Journal(tmp_path / "journal.jsonl").close()
    with pytest.raises(SettingError, match="no evaluation that took any time"):
        run(["simulate.evaluation=journal", f"simulate.journal={tmp_path}", f"simulate.dir={tmp_path / 'run'}"])


def test_the_command_line_says_so_in_one_line(tmp_path):
    command = [sys.executable, "-m", "nestedga.simulate", "simulate.groups=0"]
    answer = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert answer.returncode == 2 and answer.stdout == ""
    assert answer.stderr == "nestedga.simulate: simulate.groups=0 must be 1 or more\n"
