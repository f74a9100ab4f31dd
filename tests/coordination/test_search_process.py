"""A search in another process: the same members, and never a wait."""

from __future__ import annotations

import os
import signal
import time

import pytest

from nestedga.coordination.search_process import SearchProcess
from nestedga.population.member import Evaluation
from tests.search.searches import SEARCHES, evaluate, run


class Thoughtful:
    """A search that takes its time, fails or vanishes, as its settings say."""

    def __init__(self, settings):
        self._search = SEARCHES[settings["name"]].build()
        self._settings = settings

    def __getattr__(self, name):
        return getattr(self._search, name)

    def ask(self, n):
        time.sleep(self._settings.get("seconds", 0.0))
        if self._settings.get("fails"):
            raise ArithmeticError("no forest grows here")
        if self._settings.get("vanishes"):
            os.kill(os.getpid(), signal.SIGKILL)
        return self._search.ask(n)


@pytest.fixture(scope="module")
def process():
    return SearchProcess(Thoughtful)


def begin(process, limit_seconds=60.0, **settings):
    settings = {"name": "genetic", **settings}
    return process.begin(SEARCHES[settings["name"]].build(), settings, limit_seconds)


def answer(search, n):
    while (members := search.ask(n)) is None:
        time.sleep(0.001)
    return members


class Patient:
    """Asks until there is an answer, so that what drives a search can drive a distant one."""

    def __init__(self, search):
        self._search = search

    def __getattr__(self, name):
        return getattr(self._search, name)

    def ask(self, n):
        return answer(self._search, n)


@pytest.mark.parametrize("name", ["genetic", "pbt"])
def test_it_gives_the_same_members_as_in_place(process, name):
    assert run(Patient(begin(process, name=name)), groups=3) == run(SEARCHES[name].build(), groups=3)


def test_what_is_told_meanwhile_waits_and_stays_needed(process):
    search, near = begin(process, seconds=0.2), SEARCHES["genetic"].build()
    first = answer(search, 4)
    assert first == near.ask(4)
    for member in first[:3]:
        search.tell(evaluate(member))
        near.tell(evaluate(member))
    assert search.ask(1) is None
    search.tell(evaluate(first[3]))  # completes the generation, but the question was asked before
    assert first[3].id in search.needed()
    assert answer(search, 1) == near.ask(1) == []
    near.tell(evaluate(first[3]))
    assert answer(search, 4) == near.ask(4)
    assert search.needed() == near.needed()


def test_a_question_is_not_waited_for(process):
    search = begin(process, seconds=0.5)
    began = time.monotonic()
    assert search.ask(1) is None
    assert time.monotonic() - began < 0.4
    answer(search, 1)


def test_replayed_it_goes_on_as_if_never_interrupted(process):
    first = SEARCHES["genetic"].build()
    second = begin(process)
    for member in first.ask(4):
        second.adopt(member)
        evaluation = Evaluation(member.id, float(member.id))
        first.tell(evaluation)
        second.tell(evaluation)
    assert answer(second, 4) == first.ask(4)


def test_its_failure_is_told_with_its_trace(process):
    with pytest.raises(RuntimeError, match="no forest grows here"):
        answer(begin(process, fails=True), 1)


def test_it_may_not_think_for_ever():
    search = begin(SearchProcess(Thoughtful), limit_seconds=0.1, seconds=0.5)
    with pytest.raises(RuntimeError, match=r"not answered for 0\.1 s"):
        answer(search, 1)


def test_its_end_is_noticed():
    with pytest.raises(RuntimeError, match="has ended"):
        answer(begin(SearchProcess(Thoughtful), vanishes=True), 1)
