"""Members are what events have made of them; an event that cannot follow is refused."""

import pytest

from nestedga.population.member import Evaluation, Member, Status
from nestedga.protocol.messages import OrderKind
from nestedga.record.events import (
    MemberAsked,
    MemberEmigrated,
    MemberImmigrated,
    MemberTold,
    OrderSent,
    Origin,
    TestRead,
)
from nestedga.record.members import Impossible, Members


def asked(member_id):
    return MemberAsked(Member(member_id, 0, 0, {"x": 0.5}, (), (), 1))


def told(member_id, value=0.0, **more):
    return MemberTold(0, Evaluation(member_id, value, **more))


def immigrated(member_id, value=0.0):
    return MemberImmigrated(asked(member_id).member, Evaluation(member_id, value), Origin(2, 7))


def after(*events, modes=("min",), **more):
    members = Members(modes, **more)
    for event in events:
        members.take(event)
    return members


def test_who_is_asked_waits_until_it_is_told():
    members = after(asked(0), asked(1))
    assert list(members.waiting) == [0, 1] and members.take(OrderSent(0, 1, OrderKind.TRAIN)) is None
    came = members.take(told(1, 3.0))
    assert came.member == asked(1).member and came.evaluation == told(1, 3.0).evaluation
    assert list(members.waiting) == [0] and (members.num_evaluated, members.num_told) == (1, 1)


def test_the_search_is_told_minimised_objectives_and_no_more():
    members = after(asked(0), asked(1), modes=("max", "min"))
    values = {"objectives": (3.0, 4.0), "metrics": {"a": 3.0}, "log": "long"}
    assert members.take(told(0, 3.0, **values)).minimised == Evaluation(0, -3.0, objectives=(-3.0, 4.0))
    failed = members.take(told(1, status=Status.FAILED, message="it rained")).minimised
    assert not failed.ok and failed.message == "" and members.front.ids == [0]


def test_the_front_is_of_those_that_succeeded_here():
    assert after(asked(0), asked(1), told(0, 1.0), told(1, 2.0), immigrated(-1, 0.0)).front.ids == [0]
    assert after(asked(0), asked(1), told(0, 1.0), told(1, 2.0), last_counts=True).front.ids == [1]


def test_immigrants_count_among_those_that_were_told():
    members = after(asked(0), told(0))
    came = members.take(immigrated(-1, 0.5))
    assert came.member.id == -1 and came.minimised.fom == 0.5
    assert (members.num_evaluated, members.num_told) == (1, 2) and members.origins == {-1: Origin(2, 7)}
    assert after(MemberEmigrated(3, 1)).emigrants == {3}


def test_the_test_split_counts_as_read_until_somebody_may_be_better():
    members = after(asked(0), asked(1), told(0))
    assert not members.tested
    members.take(TestRead(0, 0, {}, {}))
    assert members.tested
    members.take(told(1))
    assert not members.tested


@pytest.mark.parametrize(
    ("events", "complaint"),
    [
        ([asked(0), asked(0)], "member 0 is asked for twice"),
        ([told(0)], "member 0 is told, and nobody waits for it"),
        ([asked(0), told(0), told(0)], "member 0 is told, and nobody waits for it"),
        ([immigrated(-1), immigrated(-1)], "immigrant -1 is admitted twice"),
        ([MemberEmigrated(0, 1), MemberEmigrated(0, 2)], "member 0 emigrates twice"),
    ],
)
def test_what_cannot_be_is_refused(events, complaint):
    members = after(*events[:-1])
    with pytest.raises(Impossible, match=complaint):
        members.take(events[-1])
