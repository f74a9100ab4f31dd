"""A wait ends: with an answer, with its time, or by its owner."""

import threading

import pytest

from nestedga.comm.waiting import WaitEnded, wait_until


def test_an_answer_ends_it():
    answers = iter([None, None, "there"])
    assert wait_until(lambda: next(answers), 60.0, "it") == "there"
    assert wait_until(lambda: 0, threading.Event(), "it") == 0


def test_its_time_ends_it():
    with pytest.raises(TimeoutError, match=r"waited 0.01 s for it"):
        wait_until(lambda: None, 0.01, "it")


def test_its_owner_ends_it():
    ended = threading.Event()
    threading.Timer(0.05, ended.set).start()
    with pytest.raises(WaitEnded, match="it will not come"):
        wait_until(lambda: None, ended, "it")
