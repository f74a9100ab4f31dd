"""A replay trains exactly its schedule, and stops where it cannot be followed."""

from __future__ import annotations

import math

import pytest

from nestedga.errors import SettingError
from nestedga.population.genes import FloatGene
from nestedga.population.member import Evaluation, Status
from nestedga.population.space import Space
from nestedga.search.pbt.replay import Replay, Segment
from tests.search.searches import run

SPACE = Space((FloatGene("lr", 0.0, 1.0), FloatGene("decay", 0.0, 1.0)))
SCHEDULE = (Segment({"lr": 0.5}, 3), Segment({"lr": 0.1, "decay": 0.2}), Segment({"lr": 7.0}, 1))


def replay(schedule=SCHEDULE):
    return Replay(SPACE, seed=0, budget=2, schedule=schedule)


def test_each_interval_continues_the_one_before():
    members = run(replay(), groups=3, evaluate=lambda member, _: Evaluation(member.id, 0.0))
    assert [member.genotype for member in members] == [interval.genotype for interval in SCHEDULE]
    assert [member.budget for member in members] == [3, 2, 1]
    assert [member.weights_parents for member in members] == [(), (0,), (1,)]
    assert all(member.hyper_parents == () and member.slot == 0 for member in members)


def test_the_next_interval_waits_for_its_weights():
    search = replay()
    first = search.ask(3)
    assert len(first) == 1 and search.ask(1) == [] and search.needed() == set()
    search.tell(Evaluation(0, 0.0))
    assert search.needed() == {0} and not search.done
    assert [member.id for member in search.ask(3)] == [1] and search.needed() == set()


def test_it_ends_where_an_interval_fails():
    search = replay()
    members = run(search, evaluate=lambda m, _: Evaluation(m.id, math.nan, Status.FAILED if m.id == 1 else Status.OK))
    assert [member.id for member in members] == [0]  # the first has no number
    search = replay()
    members = run(search, evaluate=lambda m, _: Evaluation(m.id, 0.0, Status.FAILED if m.id == 1 else Status.OK))
    assert [member.id for member in members] == [0, 1] and search.num_evaluations == 2 and search.needed() == set()


def test_going_on_with_another_schedule_is_refused():
    first, second = replay(), replay((SCHEDULE[0], Segment({"lr": 0.11})))
    second.adopt(first.ask(1)[0])
    first.tell(Evaluation(0, 0.0))
    second.tell(Evaluation(0, 0.0))
    with pytest.raises(SettingError, match=r"search\.schedule has changed since this run began: interval 1 was"):
        second.adopt(first.ask(1)[0])
