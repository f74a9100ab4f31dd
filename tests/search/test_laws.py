"""Laws that every search keeps, run over all of them and over random histories."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestedga.errors import SettingError
from nestedga.population.genes import ConstantGene
from nestedga.population.member import Evaluation, Member
from nestedga.population.space import Space
from nestedga.search.pbt.replay import Replay
from tests.search.searches import SEARCHES, bowl, evaluate, immigrant, run


def over(keep):
    return pytest.mark.parametrize("entry", [pytest.param(e, id=name) for name, e in SEARCHES.items() if keep(e)])


every_search = over(lambda entry: True)


@every_search
def test_ids_are_unique_and_budget_is_spent(entry):
    search = entry.build()
    members = run(search, groups=3)
    assert len({member.id for member in members}) == len(members)
    assert len(entry.individuals(members)) == (search.num_evaluations or 20)


@every_search
def test_all_but_a_replay_are_judged_by_their_best(entry):
    search = entry.build()
    assert search.last_counts is isinstance(search, Replay)


@every_search
def test_what_it_offers_is_said_by_itself(entry):
    search = entry.build()
    assert search.space.paths == entry.space.paths and search.population_size in (1, 4)
    assert search.num_objectives in (None, 1)
    assert search.generational or not entry.barrier or entry.scripted or not entry.breeds


@every_search
def test_genes_stay_in_their_space(entry):
    assert all(entry.space.contains(member.genotype) for member in run(entry.build(generations=20), groups=3))


@over(lambda entry: entry.barrier)
@pytest.mark.parametrize("groups", [2, 4, 7])
def test_result_depends_neither_on_groups_nor_on_order(entry, groups):
    alone = sorted(run(entry.build()), key=lambda member: member.id)
    together = sorted(run(entry.build(), groups=groups, shuffle=1), key=lambda member: member.id)
    assert alone == together


@every_search
@settings(max_examples=25)
@given(
    groups=st.integers(1, 5),
    shuffle=st.integers(0, 99),
    fails=st.frozensets(st.integers(0, 19)),
    cut=st.integers(0, 40),
    moments=st.frozensets(st.integers(0, 40)),
)
def test_what_any_prefix_of_its_history_leaves_is_as_if_never_interrupted(entry, groups, shuffle, fails, cut, moments):
    rng = np.random.default_rng(shuffle)
    first, journal, flying, num_immigrants = entry.build(), [], [], 0
    while not first.done and len(journal) < cut:
        asked = first.ask(groups - len(flying))
        journal += asked
        flying += asked
        if entry.takes_immigrants and len(journal) in moments:
            num_immigrants += 1
            journal.append(immigrant(entry, num_immigrants))
            first.immigrate(*journal[-1])
            continue
        evaluation = evaluate(flying.pop(rng.integers(len(flying))), fails)
        journal.append(evaluation)
        first.tell(evaluation)
    second = entry.build()
    for said in journal:
        if isinstance(said, Member):
            second.adopt(said)
        elif isinstance(said, Evaluation):
            second.tell(said)
        else:
            second.immigrate(*said)
    assert second.done == first.done
    assert second.needed() == first.needed()
    assert second.ask(3) == first.ask(3)


@every_search
@settings(max_examples=25)
@given(fails=st.frozensets(st.integers(0, 19)))
def test_a_failed_member_is_never_a_parent_and_lineage_is_honest(entry, fails):
    known = {}
    for member in run(entry.build(), groups=4, fails=fails):
        for parent in (*member.hyper_parents, *member.weights_parents):
            assert parent in known and parent not in fails
        known[member.id] = member


@every_search
def test_when_all_have_failed_it_goes_on_with_fresh_members(entry):
    search = entry.build()
    members = run(search, fails=frozenset(range(8)))
    assert len(entry.individuals(members)) == (search.num_evaluations or 20)
    assert all(member.hyper_parents == member.weights_parents == () for member in members if member.id <= 8)
    assert all(entry.space.contains(member.genotype) for member in members)


@every_search
def test_when_everybody_fails_it_comes_to_an_end(entry):
    search = entry.build()
    run(search, groups=3, fails=range(10**6))
    assert search.needed() == set()


@every_search
def test_needed_names_every_parent_still_to_come(entry):
    search = entry.build()
    while not search.done:
        needed = search.needed()
        for member in search.ask(1):
            assert set(member.weights_parents) <= needed
            search.tell(evaluate(member))
    assert search.needed() == set()


@every_search
@pytest.mark.parametrize("shuffle", [0, 1])
def test_what_is_no_longer_needed_is_never_wanted_again(entry, shuffle):
    search, rng = entry.build(population_size=6), np.random.default_rng(shuffle)
    flying, told, let_go = [], set(), set()
    while not search.done:
        flying += search.ask(4 - len(flying))
        in_flight = {parent for member in flying for parent in member.weights_parents}
        assert not let_go & in_flight
        member = flying.pop(rng.integers(len(flying)))
        search.tell(evaluate(member))
        told.add(member.id)
        let_go |= told - search.needed() - in_flight


@over(lambda entry: entry.takes_immigrants)
@pytest.mark.parametrize("shuffle", range(4))
def test_an_immigrant_may_become_a_parent_and_is_needed_until_then(entry, shuffle):
    search, rng = entry.build(population_size=8, generations=8), np.random.default_rng(shuffle)
    members, flying, let_go, known, out = [], [], set(), set(), iter(range(1, 10**6))
    while not search.done:
        if rng.random() < 0.1:
            number = next(out)
            search.immigrate(*immigrant(entry, number, fom=-float(number)))  # better than all before
            known.add(-number)
        asked = search.ask(3 - len(flying))
        members += asked
        flying += asked
        in_flight = {parent for member in flying for parent in member.weights_parents}
        assert not let_go & in_flight
        told = flying.pop(rng.integers(len(flying)))
        search.tell(evaluate(told))
        known.add(told.id)
        let_go |= known - search.needed() - in_flight
    assert len(members) == search.num_evaluations
    assert search.needed() == set()
    assert any(parent < 0 for member in members for parent in member.hyper_parents) == entry.breeds
    assert any(parent < 0 for member in members for parent in member.weights_parents) == entry.breeds


@over(lambda entry: entry.takes_immigrants)
def test_a_search_of_which_all_fail_lives_on_with_an_immigrant(entry):
    search, members = entry.build(), []
    while not search.done:
        members += (asked := search.ask(2))
        for member in asked:
            if member.id == 1:
                search.immigrate(*immigrant(entry, 1))
            search.tell(evaluate(member, range(10**6)))
    assert len(members) == search.num_evaluations
    assert {parent for member in members for parent in member.weights_parents} <= {-1}


@over(lambda entry: not entry.scripted)
def test_inherit_none_trains_from_scratch(entry):
    members = entry.individuals(run(entry.build(inherit="none")))
    assert all(member.weights_parents == () and member.inheritance == "clone" for member in members)
    assert any(member.hyper_parents for member in members) or not entry.breeds


@every_search
def test_telling_a_stranger_or_twice_raises(entry):
    search = entry.build()
    member = search.ask(1)[0]
    with pytest.raises(ValueError, match="never asked"):
        search.tell(Evaluation(99, 0.0))
    search.tell(evaluate(member))
    with pytest.raises(ValueError, match="told before"):
        search.tell(evaluate(member))


@over(lambda entry: not entry.scripted)
def test_a_thousand_slots(entry):
    search = entry.build(population_size=1000, generations=2)
    members = run(search, groups=500)
    assert len(entry.individuals(members)) == (search.num_evaluations or 2000)
    assert {member.slot for member in members} == set(range(min(1000, len(members))))


@every_search
def test_equal_foms_are_sound(entry):
    search = entry.build()
    members = run(search, evaluate=lambda member, fails: Evaluation(member.id, 1.0))
    assert len(entry.individuals(members)) == (search.num_evaluations or 20)


@over(lambda entry: entry.learns)
def test_beats_random_on_a_bowl(entry):
    def random(seed):
        rng = np.random.default_rng(seed)
        return [Member(i, 0, 0, entry.space.sample(rng), (), (), 1) for i in range(160)]

    ours, theirs = [], []
    for seed in range(entry.seeds):
        ours.append(min(map(bowl, run(entry.build(seed=seed, population_size=16, generations=10)))))
        theirs.append(min(map(bowl, random(seed))))
    assert np.median(ours) < np.median(theirs)


@over(lambda entry: not entry.scripted)
@pytest.mark.parametrize(
    ("setting", "value"),
    [("inherit", "genes"), ("space", Space(())), ("space", Space((ConstantGene("optimizer.lr", 0.1),)))],
)
def test_bad_settings_are_named(entry, setting, value):
    with pytest.raises(SettingError, match=setting):
        entry.build(**{setting: value})


@over(lambda entry: entry.sized)
def test_evaluating_nobody_is_refused(entry):
    with pytest.raises(SettingError, match="generations|evaluations"):
        entry.build(generations=0)


@over(lambda entry: not entry.scripted)
def test_two_seeds_differ_and_one_seed_does_not(entry):
    one, again, other = (run(entry.build(seed=seed)) for seed in (1, 1, 2))
    assert one == again != other
    genotypes = [tuple(member.genotype.items()) for member in entry.individuals(one)[:4]]
    assert all(a != b for a, b in itertools.combinations(genotypes, 2))
