"""Laws of who is asked for a state: a much wanted one spreads like a tree, near holders first."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestedga.coordination.holders import MOST_SERVED, Holders

GOLDEN_RATIO = (1 + math.sqrt(5)) / 2
NODES = st.lists(st.integers(0, 4), min_size=1, max_size=60)


def spread(nodes, producer, leaders):
    """Leaders ask one after another; gives whom each was sent to first."""
    holders = Holders(nodes)
    holders.add(7, producer)
    asked = {}
    for leader in leaders:
        others = holders.assign(7, leader)
        assert leader in holders.of(7)
        if leader not in asked and leader != producer:
            asked[leader] = others[0]
    return asked


def rounds(asked):
    """When each has the state, in sends one after another, for a holder sends to one at a time."""
    ready, sent = {}, Counter()
    for leader, holder in asked.items():
        sent[holder] += 1
        ready[leader] = ready.get(holder, 0) + sent[holder]
    return ready


@st.composite
def worlds(draw, nodes=NODES):
    nodes = draw(nodes)
    return nodes, draw(st.integers(0, len(nodes) - 1)), draw(st.permutations(range(len(nodes))))


@given(worlds())
def test_nobody_sends_more_than_twice_and_all_hang_on_the_producer(world):
    nodes, producer, leaders = world
    asked = spread(nodes, producer, leaders)
    assert set(asked) == set(leaders) - {producer}
    assert max(Counter(asked.values()).values(), default=0) <= 2
    has = {producer}
    for leader, holder in asked.items():
        assert holder in has  # nobody waits for one who waits for him
        has.add(leader)


@given(worlds())
def test_another_node_is_asked_only_when_nobody_on_ones_own_may_send(world):
    nodes, producer, leaders = world
    asked = spread(nodes, producer, leaders)
    left = {producer: MOST_SERVED}
    for leader in leaders:
        if leader in asked:
            near = [holder for holder, times in left.items() if times and nodes[holder] == nodes[leader]]
            assert not near or asked[leader] in near
            left[asked[leader]] -= 1
            left[leader] = MOST_SERVED


@pytest.mark.parametrize("num_nodes", [1, 1000])
@given(data=st.data())
def test_all_have_it_after_few_sends(num_nodes, data):
    """With all leaders on one node, and with each on a node of its own.

    A holder that sends twice and no more, in two rounds, makes the number of holders grow as Fibonacci's numbers.
    """
    number = data.draw(st.integers(2, 300))
    nodes = [leader % num_nodes for leader in range(number)]
    asked = spread(nodes, *data.draw(worlds(st.just(nodes)))[1:])
    assert max(rounds(asked).values()) <= math.ceil(math.log(number, GOLDEN_RATIO))


@given(st.integers(1, 5), st.integers(2, 8), st.data())
def test_one_copy_enters_a_node_when_its_leaders_ask_one_after_another(num_nodes, per_node, data):
    nodes = [node for node in range(num_nodes) for _ in range(per_node)]
    producer = data.draw(st.integers(0, len(nodes) - 1))
    asked = spread(nodes, producer, range(len(nodes)))
    entered = Counter(nodes[leader] for leader, holder in asked.items() if nodes[holder] != nodes[leader])
    assert max(entered.values(), default=0) <= 1 and entered[nodes[producer]] <= 1


@given(worlds())
def test_one_who_holds_a_state_is_sent_nowhere_but_to_its_producer(world):
    nodes, producer, leaders = world
    holders = Holders(nodes)
    holders.add(7, producer)
    for leader in [*leaders, *leaders]:
        known = leader in holders.of(7)
        others = holders.assign(7, leader)
        assert leader not in others and len(set(others)) == len(others)
        if known:
            assert others == (() if leader == producer else (producer,))
        else:
            assert producer in others  # whoever else has lost it, the producer may be asked


@given(worlds(), st.sets(st.integers(0, 3)))
def test_what_nobody_wants_is_let_go_wherever_it_is(world, wanted):
    nodes, producer, leaders = world
    holders = Holders(nodes)
    for member_id in range(4):
        holders.add(member_id, producer)
    for leader in leaders:
        holders.assign(2, leader)
    dropped = set(holders.forget(wanted))
    everything = {(producer, member_id) for member_id in range(4)} | {(leader, 2) for leader in leaders}
    assert dropped == {copy for copy in everything if copy[1] not in wanted}
    assert {member_id for member_id in range(4) if member_id in holders} == wanted


def test_a_state_on_disk_alone_is_read_by_the_first_and_sent_by_it():
    holders = Holders([0, 0, 0])
    assert holders.assign(7, 1) == ()
    assert holders.assign(7, 2) == (1,)


def test_one_trained_anew_has_a_new_producer():
    holders = Holders([0, 0, 0])
    holders.add(7, 0)
    holders.assign(7, 1)
    holders.add(7, 2)
    assert list(holders.of(7)) == [2]
