"""The order of evaluations with several objectives, against the definitions of Deb et al. 2002 written out."""

import itertools
import math

import moocore
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestedga.population.member import Evaluation, Member, Status
from nestedga.search.base.ranking import crowding_distance, ranked, scores
from nestedga.search.wrappers.optuna_search import OptunaSearch
from tests.search.searches import SEARCHES, run

# Few values, so that points are often equal, or equal in one objective.
points = st.integers(1, 4).flatmap(
    lambda m: st.lists(st.tuples(*[st.integers(0, 4).map(float)] * m), min_size=1, max_size=25)
)
# No two points are equal in any objective: the paper does not say what equal values mean to its sorts.
distinct = st.tuples(st.integers(2, 3), st.integers(1, 25)).flatmap(
    lambda shape: st.tuples(*[st.permutations([float(i * i) for i in range(shape[1])])] * shape[0]).map(
        lambda columns: list(zip(*columns, strict=True))
    )
)


def dominates(a, b):
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


def fronts(values):
    """The rank of each point: peel off what nobody of the rest dominates (III.A, without its bookkeeping)."""
    rank, rest = {}, set(range(len(values)))
    while rest:
        front = {i for i in rest if not any(dominates(values[j], values[i]) for j in rest)}
        rank |= dict.fromkeys(front, max(rank.values(), default=-1) + 1)
        rest -= front
    return rank


def crowding(values):
    """crowding-distance-assignment (III.B), for points of which no two are equal in an objective."""
    distance = [0.0] * len(values)
    for objective in range(len(values[0])):
        order = sorted(range(len(values)), key=lambda i: values[i][objective])
        low, high = values[order[0]][objective], values[order[-1]][objective]
        distance[order[0]] = distance[order[-1]] = math.inf
        for before, at, after in zip(order, order[1:], order[2:], strict=False):
            distance[at] += (values[after][objective] - values[before][objective]) / (high - low)
    return distance


def told(values):
    return [Evaluation(i, v[0], objectives=tuple(v) if len(v) > 1 else ()) for i, v in enumerate(values)]


@given(points)
def test_who_is_dominated_never_comes_before_who_dominates(values):
    order = [evaluation.values for evaluation in ranked(told(values))]
    assert not any(dominates(later, earlier) for earlier, later in itertools.combinations(order, 2))
    places = scores(told(values))
    for (i, a), (j, b) in itertools.permutations(enumerate(values), 2):
        if dominates(a, b):
            assert places[i] < places[j]


@given(distinct)
def test_the_order_is_front_then_crowding_as_in_the_paper(values):
    values = [
        v
        for i, v in enumerate(values)
        if not any(set(zip(v, w, strict=True)) & {(x, x) for x in v} for w in values[:i])
    ]
    rank = fronts(values)
    distance = {}
    for number in set(rank.values()):
        front = [i for i in rank if rank[i] == number]
        distance |= dict(zip(front, crowding([values[i] for i in front]), strict=True))
    expected = sorted(range(len(values)), key=lambda i: (rank[i], -distance[i], i))
    keys = [(rank[e.member_id], -distance[e.member_id]) for e in ranked(told(values))]
    for (a_rank, a_distance), i in zip(keys, expected, strict=True):  # sums may differ in their last bit
        assert a_rank == rank[i] and a_distance == pytest.approx(-distance[i])


@given(points, st.randoms(use_true_random=False))
def test_neither_order_nor_places_depend_on_who_comes_first(values, dice):
    evaluations = told(values)
    shuffled = dice.sample(evaluations, len(evaluations))
    assert ranked(shuffled) == ranked(evaluations)
    assert sorted(scores(shuffled)) == sorted(scores(evaluations))


@given(distinct)
def test_the_ends_of_a_front_are_never_crowded(values):
    distance = crowding_distance(np.array(values))
    for column in np.array(values).T:
        assert np.isinf(distance[[column.argmin(), column.argmax()]]).all()


def test_crowding_by_hand():
    values = np.array([[0.0, 4.0], [1.0, 3.0], [1.5, 1.5], [4.0, 0.0]])
    # by hand: ((1.5 - 0) + (4 - 1.5)) / 4 and ((4 - 1) + (3 - 0)) / 4
    assert crowding_distance(values).tolist() == [math.inf, 1.0, 1.5, math.inf]


def test_of_equal_points_one_has_the_distance_and_the_others_none():
    values = np.array([[0.0, 4.0], [0.0, 4.0], [1.0, 3.0], [1.0, 3.0], [1.5, 1.5], [4.0, 0.0], [4.0, 0.0]])
    assert crowding_distance(values).tolist() == [math.inf, 0.0, 1.0, 0.0, 1.5, math.inf, 0.0]


def test_an_objective_in_which_all_are_equal_says_nothing():
    values = np.array([[0.0, 4.0, 7.0], [1.0, 3.0, 7.0], [1.5, 1.5, 7.0], [4.0, 0.0, 7.0]])
    assert scores(told(values)).tolist() == scores(told(values[:, :2])).tolist()


def test_one_objective_is_its_own_score():
    values = [(0.3,), (-1.0,), (0.3,)]
    assert scores(told(values)).tolist() == [0.3, -1.0, 0.3]
    failed = Evaluation(3, math.nan, Status.FAILED)
    assert [e.member_id for e in ranked([failed, *told(values)])] == [1, 0, 2, 3]


# Every search that weighs objectives


def schaffer(member: Member, fails=frozenset()) -> Evaluation:
    """Two objectives that pull apart (Schaffer 1985): momentum 0.4 and 0.6 are their ends; a third gene spoils both."""
    if member.id in fails:
        return Evaluation(member.id, math.nan, Status.FAILED)
    momentum, spoils = member.genotype["optimizer.momentum"], (math.log10(member.genotype["optimizer.lr"]) + 2.0) ** 2
    values = ((momentum - 0.4) ** 2 + spoils, (momentum - 0.6) ** 2 + spoils)
    return Evaluation(member.id, values[0], objectives=values)


several = pytest.mark.parametrize(
    "entry", [pytest.param(e, id=name) for name, e in SEARCHES.items() if e.build().multi_objective]
)


@several
@settings(max_examples=8)
@given(groups=st.integers(1, 5), fails=st.frozensets(st.integers(0, 19)), cut=st.integers(0, 20))
def test_a_search_with_several_objectives_goes_on_as_if_never_interrupted(entry, groups, fails, cut):
    more = {"num_objectives": 2} if isinstance(entry.build(), OptunaSearch) else {}
    first, journal = entry.build(**more), []
    while not first.done and len(journal) < 2 * cut:
        asked = first.ask(groups)
        journal += asked
        for evaluation in [schaffer(member, fails) for member in asked]:
            journal.append(evaluation)
            first.tell(evaluation)
    second = entry.build(**more)
    for said in journal:
        second.adopt(said) if isinstance(said, Member) else second.tell(said)
    assert second.needed() == first.needed() and second.ask(3) == first.ask(3)


def volume(members):
    values = np.array([schaffer(member).values for member in members])
    return moocore.hypervolume(values, ref=[0.1, 0.1])


@pytest.mark.parametrize("name", [n for n in ("genetic", "steady_state") if n in SEARCHES])
def test_with_two_objectives_it_covers_more_than_random_sampling(name):
    entry = SEARCHES[name]
    ours = [volume(run(entry.build(seed=s, population_size=16, generations=10), evaluate=schaffer)) for s in range(10)]
    blind = [
        volume([Member(i, 0, 0, entry.space.sample(np.random.default_rng([s, i])), (), (), 1) for i in range(160)])
        for s in range(10)
    ]
    assert np.mean(ours) > np.mean(blind)
