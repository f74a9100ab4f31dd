"""Numbered messages: each arrives once and in order, whatever is lost between two epochs, and none is kept for ever."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from nestedga.comm.stream import MOST_UNCONFIRMED, Stream


class Side:
    """One partner; ``wire`` is what is on its way from it."""

    def __init__(self):
        self.stream, self.wire, self.taken = Stream(), deque(), []

    def send(self, number, body):
        self.wire.append((number, body, self.stream.tell()))

    def post(self, body):
        self.send(self.stream.post(body), body)

    def take(self, number, body, confirmed):
        self.stream.confirm(confirmed)
        if number and self.stream.take(number):
            self.taken.append(body)
        if self.stream.owes_word:
            self.send(0, b"")

    def begin_epoch(self):
        self.wire.clear()
        for number, body in self.stream:
            self.send(number, body)


STEPS = st.tuples(st.sampled_from(["post", "deliver", "deliver", "epoch"]), st.booleans())


@given(st.lists(STEPS, max_size=300))
def test_each_arrives_once_and_in_order(steps):
    sides, posted = (Side(), Side()), ([], [])

    def deliver(sender):
        if sides[sender].wire:
            sides[not sender].take(*sides[sender].wire.popleft())

    def begin_epoch(first):
        for which in (first, not first):
            sides[which].begin_epoch()

    for step, which in steps:
        if step == "post":
            posted[which].append(bytearray(str(len(posted[which])).encode()))
            sides[which].post(posted[which][-1])
        elif step == "deliver":
            deliver(which)
        else:
            begin_epoch(which)
    begin_epoch(False)
    while sides[0].wire or sides[1].wire:
        deliver(0)
        deliver(1)
    assert [sides[1].taken, sides[0].taken] == list(posted)


def test_who_only_listens_says_so_now_and_then():
    talks, listens = Side(), Side()
    for number in range(10 * MOST_UNCONFIRMED):
        talks.post(bytearray(str(number).encode()))
        listens.take(*talks.wire.popleft())
        while listens.wire:
            talks.take(*listens.wire.popleft())
        assert len(list(talks.stream)) <= MOST_UNCONFIRMED
