"""The front that is kept as members come in is the one that brute force finds at the end."""

import moocore
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestedga.record.front import Front

points = st.integers(1, 4).flatmap(
    lambda m: st.lists(st.tuples(*[st.integers(0, 5).map(float)] * m), min_size=1, max_size=30)
)


def by_brute_force(values):
    """Ids, by values, of points that no other dominates; of equal ones the lowest."""

    def beaten(i, j):
        no_worse = all(x <= y for x, y in zip(values[j], values[i], strict=True))
        return no_worse and (values[j] != values[i] or j < i)

    front = [i for i in range(len(values)) if not any(beaten(i, j) for j in range(len(values)) if j != i)]
    return sorted(front, key=lambda i: values[i])


@given(points, st.randoms(use_true_random=False))
def test_it_is_the_front_whoever_comes_first(values, dice):
    front = Front()
    for i in dice.sample(range(len(values)), len(values)):
        front.add(i, values[i])
    assert front.ids == by_brute_force(values)
    assert front.points.tolist() == [list(values[i]) for i in front.ids]
    assert front.ids[0] == min(range(len(values)), key=lambda i: (values[i], i)), "the best by the first objective"
    assert front.reference.tolist() == np.max(values, axis=0).tolist()


@given(points)
def test_hypervolume_is_that_of_all_points_and_never_falls(values):
    front, before = Front(), 0.0
    for i, point in enumerate(values):
        front.add(i, point)
        assert front.hypervolume() >= before
        before = front.hypervolume()
    assert before == pytest.approx(moocore.hypervolume(np.array(values), ref=np.max(values, axis=0)))


def test_hypervolume_by_hand():
    front = Front()
    assert front.ids == [] and front.hypervolume() == 0.0
    for i, point in enumerate([(1.0, 4.0), (3.0, 1.0), (5.0, 5.0)]):
        front.add(i, point)
    assert front.hypervolume() == (5 - 1) * (5 - 4) + (5 - 3) * (4 - 1)


@given(points)
def test_where_the_last_counts_it_alone_is_the_front(values):
    front = Front(last_counts=True)
    for i, point in enumerate(values):
        front.add(i, point)
        assert front.ids == [i] and front.points.tolist() == [list(point)]
