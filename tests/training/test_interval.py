"""Cutting an interval: each sample once an epoch, for any number of ranks; positions add up exactly."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nestedga.training.interval import Interval


def interval(num_samples=103, batch_size=20, num_pieces=4, num_steps=10, begin=0):
    return Interval(1, 7, num_samples, batch_size, num_pieces, num_steps, begin)


@given(ranks=st.integers(1, 5), num_pieces=st.integers(1, 6))
def test_pieces_do_not_depend_on_the_ranks(ranks, num_pieces):
    whole = interval(num_pieces=num_pieces)
    alone = list(whole.pieces(0, 1))
    shared = [list(whole.pieces(rank, ranks)) for rank in range(ranks)]
    for step in range(whole.num_steps):
        for number in range(num_pieces):
            mine = len(whole.numbers(number % ranks, ranks))
            piece = shared[number % ranks][step * mine + number // ranks]
            reference = alone[step * num_pieces + number]
            assert piece.key == reference.key and np.array_equal(piece.indices, reference.indices)
    keys = [piece.key for piece in alone]
    assert len(set(keys)) == len(keys)


def test_an_epoch_shows_no_sample_twice_and_the_next_one_is_another():
    whole = interval()
    steps = np.array_split(np.concatenate([piece.indices for piece in whole.pieces(0, 1)]), whole.num_steps)
    first, second = (np.concatenate(steps[at : at + 5]) for at in (0, 5))
    assert len(set(first)) == len(first) == len(set(second)) == 100
    assert not np.array_equal(first, second)


@given(parts=st.lists(st.integers(1, 7), min_size=1, max_size=6), batch_size=st.integers(1, 103))
def test_a_lineage_of_whole_epochs_stands_at_whole_epochs(parts, batch_size):
    passed = 0
    for epochs in parts:
        part = interval(batch_size=batch_size, begin=passed)
        passed = part.passed(epochs * part.steps_per_epoch)
    assert passed / 103 == sum(parts)


def test_positions_count_samples_between_and_whole_epochs_at_their_ends():
    part = interval(begin=206)
    assert [part.passed(step) for step in (0, 1, 4, 5, 6, 10)] == [206, 226, 286, 309, 329, 412]
    assert part.epochs(0) == 2.0 and part.epochs(5) == 3.0
    assert [step for step in range(10) if part.ends_epoch(step)] == [4, 9]
