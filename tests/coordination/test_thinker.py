"""A search here and in another process: the same members, thought once, and never a wait."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from nestedga.coordination.dialogue import Dialogue
from nestedga.coordination.remote_thinker import RemoteThinker, think
from nestedga.coordination.thinker import LocalThinker
from nestedga.population.member import Evaluation, Member
from nestedga.search.pbt.pb2 import PB2
from tests.search.searches import SEARCHES, evaluate, immigrant, run


class Thoughtful:
    """A search that takes its time, fails or vanishes, as its settings say."""

    def __init__(self, settings):
        self._search = SEARCHES[settings["name"]].build()
        self._settings = settings

    def __getattr__(self, name):
        return getattr(self._search, name)

    def ask(self, n):
        print("what a search prints is no answer")
        time.sleep(self._settings.get("seconds", 0.0))
        if self._settings.get("fails"):
            raise ArithmeticError("no forest grows here")
        if self._settings.get("vanishes"):
            os.kill(os.getpid(), signal.SIGKILL)
        return self._search.ask(n)


class Pipes:
    """Stands for a process whose two ends of the pipes are a thread's."""

    def __init__(self, make_search):
        (far_in, near_out), (near_in, far_out) = os.pipe(), os.pipe()
        self.stdin, self.stdout = os.fdopen(near_out, "wb", buffering=0), os.fdopen(near_in, "rb", buffering=0)
        self._far = os.fdopen(far_in, "rb"), os.fdopen(far_out, "wb")
        self._thread = threading.Thread(target=self._think, args=(make_search,))
        self._thread.start()

    def _think(self, make_search):
        with self._far[0], self._far[1]:
            think(*self._far, make_search)

    def kill(self):
        """A thread ends when its pipe is closed."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stdin.close()
        self._thread.join(10.0)
        self.stdout.close()


@pytest.fixture
def begin():
    """Begins a search whose far end is a thread."""
    begun = []

    def begin(limit_seconds=60.0, make=Thoughtful, **settings):
        settings = {"name": "genetic", **settings}
        begun.append(RemoteThinker(Pipes(make), settings, prefetch=0, limit_seconds=limit_seconds))
        return begun[-1]

    yield begin
    for thinker in begun:
        thinker.close()


def answer(thinker, n):
    number = thinker.request(n)
    while (answer := thinker.poll()) is None:
        time.sleep(0.001)
    assert answer.number == number
    return list(answer.members)


class Patient:
    """Waits for each answer, so that what drives a search can drive a thinker."""

    def __init__(self, thinker):
        self._thinker = thinker
        self.tell, self.immigrate, self.needed = thinker.tell, thinker.immigrate, thinker.needed

    @property
    def done(self):
        answer(self._thinker, 0)
        return self._thinker.done

    def ask(self, n):
        return answer(self._thinker, n)


@pytest.mark.parametrize("name", ["genetic", "pbt"])
def test_it_gives_the_same_members_here_and_elsewhere(begin, name):
    alone = run(SEARCHES[name].build(), groups=3)
    assert run(Patient(LocalThinker(SEARCHES[name].build())), groups=3) == alone
    assert run(Patient(begin(name=name)), groups=3) == alone


def test_a_process_of_its_own_does_the_same():
    code = (
        "import os, sys; from tests.coordination.test_thinker import Thoughtful; "
        "from nestedga.coordination.remote_thinker import think; "
        "answers = os.fdopen(os.dup(1), 'wb'); os.dup2(2, 1); think(sys.stdin.buffer, answers, Thoughtful)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    thinker = RemoteThinker(process, {"name": "pbt"}, prefetch=0, limit_seconds=60.0)
    assert run(Patient(thinker), groups=3) == run(SEARCHES["pbt"].build(), groups=3)
    thinker.close()
    assert process.returncode == -signal.SIGKILL


def test_numbers_keep_their_kind_on_the_way(begin):
    class Numbers(Thoughtful):
        def ask(self, n):
            genotype = {"a": np.float64(0.1), "b": np.int64(3), "c": True, "d": 1.0, "e": "word", "f": 2**40}
            return [Member(0, 0, 0, genotype, (), (), 1)]

    (member,) = answer(begin(make=Numbers), 1)
    assert [type(value) for value in member.genotype.values()] == [float, int, bool, float, str, int]
    assert list(member.genotype.values()) == [0.1, 3, True, 1.0, "word", 2**40]


def test_what_is_told_meanwhile_waits_and_stays_needed(begin):
    thinker, alone = begin(seconds=0.2), SEARCHES["genetic"].build()
    first = answer(thinker, 4)
    assert first == alone.ask(4)
    for member in first[:3]:
        thinker.tell(evaluate(member))
        alone.tell(evaluate(member))
    thinker.request(1)
    assert thinker.poll() is None
    thinker.tell(evaluate(first[3]))  # completes the generation, but the request was made before
    thinker.immigrate(*immigrant(SEARCHES["genetic"], 1))
    while (late := thinker.poll()) is None:
        time.sleep(0.001)
    assert list(late.members) == alone.ask(1) == []
    assert {first[3].id, -1} <= thinker.needed(), "they may be parents, and the answer did not know them"
    alone.tell(evaluate(first[3]))
    alone.immigrate(*immigrant(SEARCHES["genetic"], 1))
    assert answer(thinker, 4) == alone.ask(4)
    assert thinker.needed() == alone.needed()


def test_an_answer_is_not_waited_for(begin):
    release = threading.Event()

    class Held(Thoughtful):
        def ask(self, n):
            release.wait(60.0)
            return super().ask(n)

    thinker = begin(make=Held)
    thinker.request(1)
    assert thinker.poll() is None and thinker.poll() is None
    release.set()
    while thinker.poll() is None:
        time.sleep(0.001)


def test_however_much_is_said_while_it_thinks_nobody_is_blocked(begin):
    """More than a pipe holds, both ways."""
    release, told = threading.Event(), []

    class Held(Thoughtful):
        def ask(self, n):
            release.wait(60.0)
            return [Member(0, 0, 0, {"gene": "x" * 300_000}, (), (), 1)]

        def tell(self, evaluation):
            told.append(evaluation.member_id)

    thinker = begin(make=Held)
    thinker.request(1)
    for number in range(20_000):
        thinker.tell(Evaluation(number, 0.5))
    assert thinker.poll() is None and not told
    release.set()
    while (late := thinker.poll()) is None:
        time.sleep(0.001)
    assert len(late.members[0].genotype["gene"]) == 300_000
    answer(thinker, 0)
    assert told == list(range(20_000))


def test_a_long_journal_is_heard_while_it_is_read(begin):
    told = []

    class Listening(Thoughtful):
        def tell(self, evaluation):
            told.append(evaluation.member_id)

    thinker = begin(make=Listening)
    for number in range(200_000):  # some 10 MB
        thinker.tell(Evaluation(number, 0.5))
    assert len(told) > 0, "not all of it is held here"
    answer(thinker, 0)
    assert told == list(range(200_000))


def test_replayed_it_goes_on_as_if_never_interrupted(begin):
    first, second = SEARCHES["genetic"].build(), begin()
    for member in first.ask(4):
        second.adopt(member)
        evaluation = Evaluation(member.id, float(member.id))
        first.tell(evaluation)
        second.tell(evaluation)
    assert answer(second, 4) == first.ask(4)


def test_done_is_known_with_an_answer(begin):
    alone, dialogue = SEARCHES["genetic"].build(), Dialogue(begin())
    while not alone.done:
        for member in alone.ask(4):
            alone.tell(evaluate(member))
            dialogue.adopt(member)
            dialogue.tell(member, evaluate(member))
    assert not dialogue.done
    while not dialogue.catch_up():
        time.sleep(0.001)
    assert dialogue.done and not dialogue.ask(1)


def test_its_failure_is_told_with_its_trace(begin):
    with pytest.raises(RuntimeError, match="no forest grows here"):
        answer(begin(fails=True), 1)


def test_a_failure_is_told_also_to_one_that_only_speaks(begin):
    thinker = begin()

    def speak():
        while True:
            thinker.tell(Evaluation(7, 0.5))

    with pytest.raises(RuntimeError, match="never asked"):
        speak()


def test_it_may_not_think_for_ever(begin):
    with pytest.raises(RuntimeError, match=r"not answered for 0\.1 s"):
        answer(begin(limit_seconds=0.1, seconds=0.5), 1)


def test_its_end_is_noticed():
    process = subprocess.Popen(["true"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.wait()
    with pytest.raises(RuntimeError, match="has ended"):
        answer(RemoteThinker(process, {}, prefetch=0, limit_seconds=60.0), 1)
    process.communicate()


def test_pb2_fits_its_model_once_for_each_child(begin, monkeypatch):
    """It did so twice, once beside a training rank, when it was asked what is needed."""
    fits, threads = [], set()
    promising = PB2._promising

    def counted(self, rng, pending):
        fits.append(rng.bit_generator.state["state"]["state"])
        threads.add(threading.current_thread())
        return promising(self, rng, pending)

    monkeypatch.setattr(PB2, "_promising", counted)
    make = lambda settings: SEARCHES["pb2"].build()  # noqa: E731
    alone = run(make({}), groups=2)
    expected = len(fits)
    assert expected == len(set(fits)) > 0
    fits.clear()
    threads.clear()
    thinker = begin(make=make)
    assert run(Patient(thinker), groups=2) == alone
    assert len(fits) == len(set(fits)) == expected and threading.main_thread() not in threads
