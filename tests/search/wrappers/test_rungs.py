"""Early stopping by rungs: who goes on, what the wrapped search gets to know, and what a journal tells."""

import functools
import itertools
import math
import statistics
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestedga.errors import SettingError
from nestedga.population.member import Evaluation, Member, Status
from nestedga.search.base import Asynchronous, Birth
from nestedga.search.base.ranking import ranked
from nestedga.search.evolution.genetic import Genetic
from nestedga.search.pbt.pbt import PBT
from nestedga.search.wrappers.rungs import MedianStopping, SuccessiveHalving
from tests.search.searches import SEARCHES, SPACE, run

RUNGS = [2, 3, 9]


class Recorder(Asynchronous):
    """Random sampling that remembers all it hears; every third individual has intervals of double length."""

    multi_objective = True

    def __post_init__(self):
        super().__post_init__()
        self.adopted, self.told = [], {}

    def adopt(self, member):
        super().adopt(member)
        self.adopted.append(member)

    def _birth(self, rng, member_id):
        return Birth(self.space.sample(rng), budget=2 * self.budget if member_id % 3 == 0 else None)

    def _learn(self, member, evaluation):
        self.told[member.id] = evaluation


class Averaging(Recorder):
    """Each has the genes of the last who came in, and the mean of the last two's weights."""

    def _birth(self, rng, member_id):
        parents = tuple(self.told)[-2:]
        if len(parents) < 2:
            return super()._birth(rng, member_id)
        return Birth(self.space.sample(rng), parents[:1], parents, "average")

    def needed(self):
        return set(list(self.told)[-2:])


def around(kind=SuccessiveHalving, wrapped=Recorder, *, rungs=RUNGS, own=None, **settings):
    """A wrapper, and the search inside it."""
    inside = []

    def make(space, **given):
        inside.append(wrapped(space, **given, **settings))
        return inside[0]

    return kind(SPACE, seed=0, budget=2, wrapped=make, rungs=rungs, **own or {}), inside[0]


def noise(member, fails=()):
    """A figure of merit of which nothing can be learned."""
    if member.id in fails:
        return Evaluation(member.id, math.nan, Status.FAILED)
    return Evaluation(member.id, float(np.random.default_rng([7, member.id]).random()))


def lines(members):
    """The rungs of each individual, in order."""
    rungs = {}
    for member in members:
        rungs.setdefault(member.id // len(RUNGS), []).append(member)
    return rungs


def first_rungs(search, evaluations):
    """Tells the first rungs of new individuals; for each, whether it goes on. Who goes on is never told again."""
    goes_on = []
    for values in evaluations:
        (member,) = search.ask(1)
        while member.id % len(search.rungs):
            (member,) = search.ask(1)
        search.tell(Evaluation(member.id, values[0], objectives=values if len(values) > 1 else ()))
        goes_on.append(member.id in search.needed())
    return goes_on


@settings(max_examples=50)
@given(foms=st.lists(st.integers(0, 20), max_size=40), reduction=st.sampled_from([2, 2.5, 3, 4]))
def test_the_best_of_those_who_reached_a_rung_go_on(foms, reduction):
    search, _ = around(own={"reduction": reduction})
    expected = []
    for n in range(1, len(foms) + 1):
        last_good = sorted(foms[:n])[max(1, int(n / reduction)) - 1]
        expected.append(foms[n - 1] <= last_good)
    assert first_rungs(search, [(float(fom),) for fom in foms]) == expected


@pytest.mark.parametrize("reduction", [2, 3, 4])
def test_the_share_that_goes_on_approaches_one_in_eta(reduction):
    search, _ = around(own={"reduction": reduction}, evaluations=4000)
    ended = lines(run(search, groups=5, shuffle=0, evaluate=noise)).values()
    reached = [sum(len(line) > rung for line in ended) for rung in range(3)]
    for at, above in itertools.pairwise(reached):
        # Of values without order, the n-th is among the best k of n with probability k / n, whatever came before.
        p = np.array([max(1, n // reduction) / n for n in range(1, at + 1)])
        assert abs(above - p.sum()) < 3 * math.sqrt((p * (1 - p)).sum())
        assert above / at == pytest.approx(1 / reduction, abs=0.04)


def test_several_objectives_compare_by_their_order():
    rng = np.random.default_rng(0)
    points = [tuple(map(float, rng.integers(0, 9, 2))) for _ in range(40)]
    search, inside = around()
    expected = []
    for n in range(1, len(points) + 1):
        order = ranked(Evaluation(i, p[0], objectives=p) for i, p in enumerate(points[:n]))
        expected.append(n - 1 in {e.member_id for e in order[: max(1, n // 3)]})
    decided = first_rungs(search, points)
    # Those on equal places go on together, where ranked has to put one before the other.
    assert sum(decided) >= sum(expected) > 5
    assert all(goes_on for goes_on, one_in_order in zip(decided, expected, strict=True) if one_in_order)
    assert sum(decided) - sum(expected) < 5
    stopped = decided.index(False)
    assert inside.told[stopped].values == points[stopped]


def test_what_it_can_weigh_is_the_wrapped_searchs_to_say():
    class Other(Recorder):
        multi_objective, slow, num_objectives = False, True, 3

    ours, others = around()[0], around(wrapped=Other)[0]
    assert (ours.multi_objective, ours.slow) == (True, False) and (others.multi_objective, others.slow) == (False, True)
    assert (ours.num_objectives, others.num_objectives) == (None, 3)
    assert not around(wrapped=Genetic)[0].generational, "nobody waits for the others' rungs"
    assert not around(MedianStopping)[0].multi_objective


@settings(max_examples=30)
@given(startup=st.integers(1, 6), shuffle=st.integers(0, 99), groups=st.integers(1, 5))
def test_the_median_rule(startup, shuffle, groups):
    search, _ = around(MedianStopping, rungs=[2, 3, 4, 5], own={"startup": startup}, evaluations=30)
    curves, averages = {}, [[] for _ in range(4)]

    def check(member, fails):
        individual, rung = divmod(member.id, 4)
        evaluation = noise(member)
        foms = curves.setdefault(individual, [])
        foms.append(round(evaluation.fom, 1))  # with ties
        if rung < 3:
            others = averages[rung]
            goes_on[member.id] = len(others) < startup or min(foms) <= statistics.median(others)
            others.append(sum(foms) / len(foms))
        return Evaluation(member.id, foms[-1])

    goes_on = {}
    members = {member.id for member in run(search, groups=groups, shuffle=shuffle, evaluate=check)}
    assert {member_id: member_id + 1 in members for member_id in goes_on} == goes_on
    assert set(goes_on.values()) == {True, False}


@settings(max_examples=20)
@given(shuffle=st.integers(0, 99), groups=st.integers(1, 5), fails=st.frozensets(st.integers(0, 59)))
def test_the_wrapped_search_is_told_once_with_the_last_figure_of_merit(shuffle, groups, fails):
    search, inside = around(evaluations=20)
    members = run(search, groups=groups, shuffle=shuffle, fails=fails, evaluate=noise)
    ended = lines(members)
    assert sorted(inside.told) == sorted(ended) == list(range(20))  # base raises where one is told twice
    assert search._told == search._running == search._going_on == {}
    for individual, line in ended.items():
        last = noise(line[-1], fails)
        assert inside.told[individual].status == last.status
        assert inside.told[individual].fom == pytest.approx(last.fom, nan_ok=True)
        assert not any(member.id in fails for member in line[:-1])


def test_rungs_of_an_individual_follow_one_another_and_their_budgets_add_up():
    search, _ = around(evaluations=60)
    ended = lines(run(search, groups=4, shuffle=3, evaluate=noise))
    assert {len(line) for line in ended.values()} == {1, 2, 3}
    for individual, line in ended.items():
        assert [member.id for member in line] == [3 * individual + rung for rung in range(len(line))]
        for before, after in itertools.pairwise(line):
            assert after.hyper_parents == after.weights_parents == (before.id,)
            assert (after.genotype, after.slot, after.generation) == (before.genotype, before.slot, before.generation)
        interval = 4 if individual % 3 == 0 else 2
        assert np.cumsum([member.budget for member in line]).tolist() == [r * interval for r in RUNGS[: len(line)]]


@pytest.mark.parametrize("wrapped", [Genetic, functools.partial(PBT, truncation=0.5)])
def test_a_child_begins_where_its_parents_were_stopped(wrapped):
    search, _ = around(wrapped=wrapped, population_size=6, generations=4)
    ended = lines(run(search, groups=3, shuffle=0, evaluate=noise))
    for individual, (first, *_) in ended.items():
        assert (first.generation, first.slot) == divmod(individual, 6)
        assert len(first.weights_parents) == (first.generation > 0)
        for parent in (*first.hyper_parents, *first.weights_parents):
            assert ended[parent // 3][-1].id == parent
            assert parent // 3 // 6 == first.generation - 1
    assert len(ended) == 24
    assert any(parent % 3 for first, *_ in ended.values() for parent in first.weights_parents)


@pytest.mark.parametrize("name", [name for name, entry in SEARCHES.items() if entry.around is None])
def test_every_search_can_be_wrapped(name):
    """What is wrapped keeps the laws: lineage, needed weights, and replay of any prefix."""
    entry = replace(SEARCHES[name], around=functools.partial(SuccessiveHalving, rungs=[1, 2, 4], reduction=2))
    rng = np.random.default_rng(0)
    search, journal, flying = entry.build(generations=4), [], []
    while not search.done:
        needed = search.needed()
        for member in search.ask(3 - len(flying)):
            assert set(member.weights_parents) <= needed
            journal.append(member)
            flying.append(member)
        evaluation = noise(flying.pop(rng.integers(len(flying))), fails={4, 12, 21})
        journal.append(evaluation)
        search.tell(evaluation)
    assert search.needed() == set()
    for cut in rng.integers(len(journal), size=2):
        again = entry.build(generations=4)
        for said in journal[:cut]:
            again.adopt(said) if isinstance(said, Member) else again.tell(said)
        # What followed in the journal is what it asks for now.
        following = list(itertools.takewhile(lambda said: isinstance(said, Member), journal[cut:]))
        assert again.ask(len(following)) == following


def test_the_wrapped_search_is_handed_its_own_members_again():
    search, inside = around(wrapped=Averaging, evaluations=20)
    members = run(search, groups=1, evaluate=noise)
    again, inside_again = around(wrapped=Averaging, evaluations=20)
    for member in members:
        again.adopt(member)
        again.tell(noise(member))
    assert inside_again.adopted == inside.adopted and again.done
    assert {member.inheritance for member in members if member.id % 3} == {"clone"}
    bred = [member for member in members if member.inheritance != "clone"]
    assert bred and all(len(member.weights_parents) == 2 for member in bred)


def test_who_goes_on_comes_first():
    search, _ = around()
    first, second, third = search.ask(3)
    for member, fom in ((second, 2.0), (first, 1.0), (third, 3.0)):
        search.tell(Evaluation(member.id, fom))
    assert search.needed() == {first.id, second.id}
    assert [member.id for member in search.ask(3)] == [second.id + 1, first.id + 1, 9]
    assert search.needed() == set()


def test_adopting_who_does_not_go_on_raises():
    search, _ = around()
    (member,) = search.ask(1)
    search.tell(Evaluation(member.id, 0.0))
    other, _ = around()
    with pytest.raises(ValueError, match="does not go on"):
        other.adopt(search.ask(1)[0])


@pytest.mark.parametrize("rungs", [[], [3], [0, 1], [3, 3], [3, 1], [1, 2.5], 9, "1,3"])
def test_bad_rungs_are_named(rungs):
    with pytest.raises(SettingError, match=r"search\.rungs=.* as in \[1,3,9\]"):
        around(rungs=rungs)


def test_bad_settings_are_named():
    with pytest.raises(SettingError, match=r"search\.reduction=1 "):
        around(own={"reduction": 1})
    with pytest.raises(SettingError, match=r"search\.startup=0 "):
        around(MedianStopping, own={"startup": 0})
    with pytest.raises(SettingError, match=r"^search\.wrapped\.population_size=1 "):
        around(wrapped=Genetic, population_size=1)
    with pytest.raises(SettingError, match=r"search\.wrapped='pbt' is no search"):
        SuccessiveHalving(SPACE, seed=0, budget=1, wrapped="pbt")
