"""Population based training against its paper."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from scipy.stats import kstest, ttest_ind

from nestedga.errors import SettingError
from nestedga.population.genes import FloatGene
from nestedga.population.member import Evaluation, Status
from nestedga.population.space import Space
from nestedga.search.pbt.exploit import num_replaced, t_test
from nestedga.search.pbt.lines import Line, Standings, prolonged
from nestedga.search.pbt.pbt import PBT, AsynchronousPBT
from tests.search.searches import SEARCHES, SPACE, evaluate, generation, run

ENTRY = SEARCHES["pbt"]
ASYNCHRONOUS = SEARCHES["pbt_async"]
both_forms = pytest.mark.parametrize("entry", [ENTRY, ASYNCHRONOUS], ids=["barrier", "asynchronous"])


def told(search, foms):
    """Tells the slots' first intervals; NaN for a failed one."""
    for member, fom in zip(search.ask(len(foms)), foms, strict=True):
        search.tell(Evaluation(member.id, fom))


def noise(member):
    return Evaluation(member.id, float(np.random.default_rng(member.id).random()))


def replaced(children):
    return [child.slot for child in children if child.weights_parents[0] != child.slot]


# Exploit


@pytest.mark.parametrize(
    ("truncation", "population_size", "expected"), [(0.2, 4, 1), (0.25, 8, 2), (0.5, 5, 2), (0.01, 20, 1)]
)
@both_forms
def test_truncation_replaces_the_worst_by_copies_of_the_best(entry, truncation, population_size, expected):
    search = entry.build(truncation=truncation, population_size=population_size)
    children = generation(search, [float(i) for i in range(population_size)])
    assert replaced(children) == list(range(population_size - expected, population_size))
    assert all(child.weights_parents[0] < expected for child in children if child.weights_parents[0] != child.slot)
    assert all(child.weights_parents == child.hyper_parents for child in children)


@pytest.mark.parametrize(
    ("fraction", "num_lines", "expected"),
    [(0.2, 1, 0), (0.2, 2, 1), (0.001, 30, 1), (0.2, 10, 2), (0.2, 13, 3), (0.5, 5, 2), (0.5, 7, 3), (0.5, 8, 4)],
)
def test_one_at_least_and_half_at_most_is_replaced(fraction, num_lines, expected):
    assert num_replaced(fraction, num_lines) == expected


@both_forms
def test_truncation_draws_donors_uniformly(entry):
    counts = np.zeros(3)
    for seed in range(200):
        children = generation(entry.build(seed=seed, truncation=0.3, population_size=10), [float(i) for i in range(10)])
        counts += np.bincount([child.weights_parents[0] for child in children[7:]], minlength=3)
    assert ((counts - 200.0) ** 2 / 200.0).sum() < 13.82  # 99.9 % point of chi-squared, 2 degrees of freedom


@both_forms
def test_failed_slots_are_replaced_first(entry):
    children = generation(entry.build(truncation=0.25), [0.0, math.nan, 2.0, 1.0])
    assert [child.weights_parents[0] for child in children] == [0, 0, 2, 3]


@both_forms
def test_the_loser_of_a_tournament_copies_the_winner(entry):
    foms, counts = [0.0, 1.0, 2.0, 3.0], np.zeros((4, 4))
    for seed in range(300):
        for child in generation(entry.build(seed=seed, exploit="tournament"), foms):
            counts[child.slot, child.weights_parents[0]] += 1
    # Slot i meets one of three others, each as likely, and copies it if it is better: one of the i before it.
    expected = np.array([[100.0 * (3 - i) if i == j else 100.0 * (j < i) for j in range(4)] for i in range(4)])
    assert np.all(counts[expected == 0.0] == 0.0)
    likely = expected > 0.0
    assert ((counts - expected)[likely] ** 2 / expected[likely]).sum() < 22.46  # 99.9 % point, 6 degrees of freedom


def line(member_id, recent):
    member = SEARCHES["pbt"].build(population_size=9).ask(9)[member_id]
    return Line(member, Evaluation(member_id, recent[-1]), tuple(recent))


def test_welchs_test_decides_as_in_scipy():
    rng = np.random.default_rng(0)
    decided = []
    for _ in range(50):
        better, worse = line(0, rng.normal(0.0, 1.0, 8)), line(1, rng.normal(rng.random(), 2.0, 10))
        order = sorted([better, worse], key=lambda entrant: entrant.evaluation.fom)
        expected = ttest_ind(order[0].recent, order[1].recent, equal_var=False, alternative="less").pvalue < 0.05
        assert (t_test(rng, order[1], order, 0.05) is order[0]) == expected
        assert t_test(rng, order[0], order, 0.05) is None
        decided.append(expected)
    assert 5 < sum(decided) < 45


@pytest.mark.parametrize(("other", "copies"), [((1.0, 1.0), True), ((2.0, 2.0), False), ((1.0,), False)])
def test_welchs_test_of_figures_without_spread(other, copies):
    mine, theirs = line(0, (2.0, 2.0)), line(1, other)
    assert (t_test(np.random.default_rng(0), mine, [theirs, mine], 0.05) is theirs) == copies


def test_a_line_keeps_the_last_figures_of_its_lineage():
    past = None
    for number in range(6):
        past = prolonged(past, line(0, [0.0]).member, Evaluation(0, float(number)), window=3)
    assert past.recent == (3.0, 4.0, 5.0) and past.best.evaluation.fom == 0.0 and past.stalled == 5


@both_forms
def test_a_lineage_is_that_of_the_weights(entry):
    search = entry.build(copy="hyperparameters", patience=2, ready=2, population_size=2, generations=4)
    foms, parents = {0: [5.0, 4.0, 3.0, 2.0], 1: [9.0, 9.5, 9.5, 9.5]}, {}
    while not search.done:
        for member in search.ask(2):
            parents[member.slot, member.generation] = member.hyper_parents + member.weights_parents
            search.tell(Evaluation(member.id, foms[member.slot][member.generation]))
    assert parents[1, 2] == (2, 3)  # genes of the better slot, but its own past
    assert parents[1, 3] == (1, 1)  # to which it goes back, weights and genes


def test_the_t_test_looks_at_the_lineage_of_the_weights():
    search = ENTRY.build(exploit="t_test", population_size=2, generations=8, significance=0.2, window=3)
    parents = []
    for number in range(4):
        children = search.ask(2)
        parents.append([child.weights_parents for child in children])
        for child, fom in zip(children, [0.01 * number, 1.0 + 0.01 * number], strict=True):
            search.tell(Evaluation(child.id, fom))
    assert parents == [
        [(), ()],
        [(0,), (1,)],
        [(2,), (2,)],
        [(4,), (5,)],
    ]  # proof takes two; then their past is one


@both_forms
@pytest.mark.parametrize("exploit", ["truncation", "t_test", "tournament"])
def test_the_best_always_goes_on(entry, exploit):
    search = entry.build(exploit=exploit, population_size=6, generations=20, significance=0.4)
    flying, latest, moved = search.ask(6), {}, 0
    while not search.done:
        member = flying.pop(0)
        latest[member.slot] = noise(member)
        search.tell(latest[member.slot])
        for child in search.ask(6):
            own = latest[child.slot].member_id
            if own == min(latest.values(), key=lambda evaluation: evaluation.fom).member_id:
                assert child.weights_parents == child.hyper_parents == (own,)
            moved += child.weights_parents != (own,)
            flying.append(child)
    assert moved > 0


# Copy and explore


@both_forms
@pytest.mark.parametrize("copy", ["both", "weights", "hyperparameters"])
def test_a_child_takes_genes_and_weights_of_the_parents_it_names(entry, copy):
    search = entry.build(copy=copy, explore="keep", exploit="tournament", population_size=8, generations=10)
    known, latest, copied = {}, {}, 0
    for member in run(search, groups=3, shuffle=0, evaluate=lambda member, fails: noise(member)):
        known[member.id] = member
        if member.generation:
            (genes,), (weights,) = member.hyper_parents, member.weights_parents
            assert member.genotype == known[genes].genotype
            own, copied = latest[member.slot], copied + (genes != weights or weights != latest[member.slot])
            assert copy != "weights" or genes == own
            assert copy != "hyperparameters" or weights == own
            assert copy != "both" or genes == weights
        latest[member.slot] = member.id
    assert copied > 5


@both_forms
@pytest.mark.parametrize("copy", ["weights", "hyperparameters"])
def test_a_failed_slot_copies_both(entry, copy):
    children = generation(entry.build(copy=copy), [0.0, math.nan, 2.0, 1.0])
    assert children[1].weights_parents == children[1].hyper_parents == (0,)


def test_explore_is_chosen_gene_by_gene():
    explored, resampled, seeds = [], 0, 200
    for seed in range(seeds):
        how = {"optimizer.lr": "keep", "optimizer.momentum": "resample", "model.width": "mutate"}
        search = ENTRY.build(seed=seed, explore_genes=how, resample=0.0)
        told(search, [0.0, 1.0, 2.0, 3.0])
        parent, child = ENTRY.build(seed=seed).ask(1)[0], search.ask(4)[3]
        assert child.genotype["optimizer.lr"] == parent.genotype["optimizer.lr"]
        explored.append(child.genotype["optimizer.momentum"])
        sizes = (16, 32, 64)
        steps = [sizes.index(genotype["data.batch_size"]) for genotype in (parent.genotype, child.genotype)]
        assert abs(steps[1] - steps[0]) <= 1  # perturbed: to a neighbour
        width = parent.genotype["model.width"]
        factors = {min(max(round(width * factor), 1), 64) for factor in (0.8, 1.2)}
        resampled += child.genotype["model.width"] not in factors
    assert resampled > seeds / 2  # a normal step, not one of two factors
    assert kstest(explored, "uniform", (0.0, 0.99)).pvalue > 0.001


@pytest.mark.parametrize("explore", ["perturb", "mutate"])
def test_resampling_has_its_probability(explore):
    space, count, seeds = Space((FloatGene("a", 1e-6, 1.0, log=True),)), 0, 200
    for seed in range(seeds):
        search = ENTRY.build(seed=seed, space=space, explore=explore, resample=0.3, deviation=1e-6)
        told(search, [0.0, 1.0, 2.0, 3.0])
        parent = ENTRY.build(seed=seed, space=space).ask(1)[0].genotype["a"]
        moved = search.ask(4)[3].genotype["a"] / parent
        count += not any(moved == pytest.approx(factor, rel=1e-3) for factor in (0.8, 1.0, 1.2))
    assert abs(count - 0.3 * seeds) < 3.3 * math.sqrt(0.3 * 0.7 * seeds) + 5  # some fresh values look like steps


@both_forms
@pytest.mark.parametrize("explore", ["perturb", "mutate", "resample", "keep"])
def test_exploring_for_ever_stays_in_the_space_and_gets_stuck_nowhere(entry, explore):
    search = entry.build(explore=explore, exploit="tournament", resample=0.0, generations=100)
    members = run(search, evaluate=lambda member, fails: noise(member))
    assert all(SPACE.contains(member.genotype) for member in members)
    late = [member.genotype for member in members[len(members) // 2 :]]
    if explore != "keep":
        assert all(len({genotype[path] for genotype in late}) > 1 for path in SPACE.paths if path != "model.skip_scale")


# When


@both_forms
def test_ready_and_burn_in_say_when_slots_exploit(entry):
    search = entry.build(ready=3, burn_in=6, generations=16, population_size=6, exploit="tournament")
    latest, when = {}, set()
    for member in run(search, evaluate=lambda member, fails: noise(member)):
        if member.generation and member.weights_parents != (latest[member.slot],):
            when.add(member.generation)
        latest[member.slot] = member.id
    assert when == {6, 9, 12, 15}


@both_forms
def test_failed_slots_do_not_wait_for_the_ready_interval(entry):
    children = generation(entry.build(burn_in=9), [0.0, math.nan, 2.0, 1.0])
    assert [child.weights_parents for child in children][1] != ()
    assert replaced(children) == [1] and replaced(generation(entry.build(burn_in=9), [3.0, 4.0, 2.0, 1.0])) == []


def test_slots_of_different_speed_never_wait():
    search = ASYNCHRONOUS.build(population_size=3, generations=9)
    slow = search.ask(1)[0]
    for _ in range(18):
        (member,) = search.ask(1)
        search.tell(evaluate(member))
    assert search.ask(1) == [] and not search.done  # the quick ones are through
    search.tell(evaluate(slow))
    assert search.ask(3)[0].slot == slow.slot


def test_without_a_barrier_the_latest_of_all_slots_counts():
    search = ASYNCHRONOUS.build(population_size=3, generations=4, truncation=0.5)
    first = search.ask(3)
    search.tell(Evaluation(first[0].id, 5.0))
    (alone,) = search.ask(3)
    assert alone.weights_parents == (0,)  # nobody to copy yet
    search.tell(Evaluation(first[1].id, 7.0))
    (second,) = search.ask(3)
    assert second.weights_parents == (0,) and second.slot == 1
    search.tell(Evaluation(first[2].id, 6.0))
    search.tell(Evaluation(alone.id, 9.0))
    third, fourth = search.ask(3)
    assert (third.slot, third.weights_parents) == (2, (2,))
    assert (fourth.slot, fourth.weights_parents) == (0, (2,))


# Backtracking


@both_forms
def test_a_stalled_line_goes_back_to_the_best_of_its_lineage(entry):
    search = entry.build(patience=2, burn_in=99, population_size=2, generations=9)
    foms = {0: [5.0, 3.0, 4.0, 4.0, 3.5, 3.6, 1.0, 2.0, 2.0], 1: [float(9 - i) for i in range(9)]}
    parents = {0: [], 1: []}
    needed = set()
    while not search.done:
        for member in search.ask(2):
            assert set(member.weights_parents) <= needed
            parents[member.slot] += member.weights_parents
            search.tell(Evaluation(member.id, foms[member.slot][member.generation]))
        needed = search.needed()
    # Its best is the second interval's, id 2; back there after two without a new best, and again.
    assert parents[0] == [0, 2, 4, 2, 8, 2, 12, 14]
    assert parents[1] == [1, 3, 5, 7, 9, 11, 13, 15]


@pytest.mark.parametrize("name", ["pbt", "pbt_backtracking", "pbt_async", "pbt_async_backtracking", "fire"])
def test_what_is_no_longer_needed_is_never_wanted_again(name):
    for seed in range(5):
        search = SEARCHES[name].build(seed=seed, population_size=6, generations=25)
        rng, flying, let_go = np.random.default_rng(seed), [], set()
        known = set()
        while not search.done:
            flying += search.ask(4 - len(flying))
            assert not let_go & {parent for member in flying for parent in member.weights_parents}
            member = flying.pop(rng.integers(len(flying)))
            search.tell(noise(member))
            known.add(member.id)
            wanted = search.needed() | {parent for member in flying for parent in member.weights_parents}
            let_go |= known - wanted


@both_forms
def test_where_all_fail_the_best_is_restored(entry):
    search = entry.build(patience=9, burn_in=99, population_size=2)
    for number, foms in enumerate([(1.0, 2.0), (math.nan, math.nan)]):
        for member, fom in zip(search.ask(2), foms, strict=True):
            search.tell(Evaluation(member.id, fom, Status.OK if fom == fom else Status.FAILED))
            assert number or search.needed() >= {0}
    assert search.needed() >= {0, 1}
    assert {child.weights_parents for child in search.ask(2)} <= {(0,), (1,)}


# Several objectives


@both_forms
@pytest.mark.parametrize("exploit", ["truncation", "t_test", "tournament"])
def test_several_objectives_are_ranked_by_fronts(entry, exploit):
    search = entry.build(exploit=exploit, patience=2, generations=4)
    values = [(1.0, 0.0), (0.0, 1.0), (0.6, 0.6), (2.0, 2.0)]
    for member, objectives in zip(search.ask(4), values, strict=True):
        search.tell(Evaluation(member.id, objectives[0], objectives=objectives))
    children = search.ask(4)
    assert exploit != "truncation" or (replaced(children) == [3] and children[3].weights_parents[0] in (0, 1))
    for member in children:
        search.tell(Evaluation(member.id, 1.0, objectives=(1.0, float(member.slot))))
    assert len(search.ask(4)) == 4


def test_a_failed_slot_does_not_disturb_the_order_of_several_objectives():
    standings, members = Standings(), ENTRY.build(population_size=4).ask(4)
    for member, objectives in zip(members, [(1.0, 1.0), (2.0, 2.0), (5.0, 0.0)], strict=False):
        standings.put(Line(member, Evaluation(member.id, objectives[0], objectives=objectives)))
    standings.put(Line(members[3], Evaluation(3, math.nan)))
    assert standings.order[2].slot == 1 and len(standings.order) == 3  # dominated by slot 0, while slot 2 is not


# The first population, and settings


@both_forms
def test_the_first_genotypes_may_be_given(entry):
    first = [{"optimizer.lr": 1, "model.skip": True}, {}, {"model.width": 7}]
    members = entry.build(first=first).ask(4)
    assert all(SPACE.contains(member.genotype) for member in members)
    assert all(given.items() <= member.genotype.items() for given, member in zip(first, members[:3], strict=True))
    assert "model.skip_scale" in members[0].genotype
    assert members[3] == entry.build().ask(4)[3]


@both_forms
@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("exploit", "elite"),
        ("copy", "nothing"),
        ("explore", "wander"),
        ("explore_genes", {"optimizer.lr": "wander"}),
        ("explore_genes", {"optimizer.wd": "keep"}),
        ("truncation", 0.6),
        ("significance", 1.0),
        ("window", 1),
        ("resample", 1.5),
        ("deviation", 0.0),
        ("ready", 0),
        ("burn_in", -1),
        ("patience", 0),
        ("first", [{}] * 5),
        ("first", [{"optimizer.wd": 1.0}]),
        ("first", [{"optimizer.lr": 7.0}]),
        ("population_size", 1),
        ("generations", 0),
    ],
)
def test_bad_settings_are_named(entry, setting, value):
    with pytest.raises(SettingError, match=rf"search\.{setting}=") as refused:
        entry.build(**{setting: value})
    assert re.search(r"use|must|known|give|genes are|has", str(refused.value)) and "\n" not in str(refused.value)


def test_intervals_are_what_ready_is():
    with pytest.raises(SettingError, match=r"search\.intervals=2 .*ready"):
        ENTRY.build(intervals=2)


# The quadratic of the paper, figure 2


def quadratic(kind, **settings):
    """The best Q = 1.2 - theta1^2 - theta2^2 after 20 intervals of 4 ascents of 1.2 - h1 theta1^2 - h2 theta2^2."""
    space = Space((FloatGene("h1", 0.0, 1.0), FloatGene("h2", 0.0, 1.0)))
    first = [{"h1": 1.0, "h2": 0.0}, {"h1": 0.0, "h2": 1.0}]
    search = kind(
        space,
        seed=settings.pop("seed", 0),
        budget=4,
        population_size=2,
        generations=20,
        first=first,
        truncation=0.5,
        **settings,
    )
    thetas, best = {}, -math.inf
    while not search.done:
        for member in search.ask(2):
            theta = thetas[member.weights_parents[0]] if member.weights_parents else np.array([0.9, 0.9])
            h = np.array([member.genotype["h1"], member.genotype["h2"]])
            for _ in range(member.budget):
                theta = theta - 0.05 * 2.0 * h * theta
            thetas[member.id] = theta
            best = max(best, 1.2 - float(theta @ theta))
            search.tell(Evaluation(member.id, float(theta @ theta) - 1.2))
    return best


@pytest.mark.parametrize("kind", [PBT, AsynchronousPBT])
@pytest.mark.parametrize("explore", ["keep", "mutate"])
def test_the_papers_quadratic_needs_both_members(kind, explore):
    assert quadratic(kind, burn_in=99) < 0.5  # each alone
    for seed in range(5):
        assert quadratic(kind, seed=seed, copy="weights", explore=explore, resample=0.0) > 1.19
