"""Who is in which group: laws of the groups alone, and of a coordinator that forms groups as it likes."""

import math
import zlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestedga.coordination.allocation import Allocation
from nestedga.coordination.groups import Groups
from nestedga.protocol.layout import Layout
from nestedga.protocol.messages import Dissolved, OrderKind, Prefetch, Ready
from nestedga.record import journal
from nestedga.search.evolution.genetic import Genetic
from nestedga.search.pbt.pbt import AsynchronousPBT
from nestedga.search.wrappers.rungs import SuccessiveHalving
from tests.coordination.test_coordinator import SPACE, Files, PlayedGroups, coordinate, outcome, search

LAYOUT, NODES = Layout((2,) * 6), [0] * 4 + [1] * 8


def ready(sizes, nodes=None):
    groups = Groups(Layout(tuple(sizes)), nodes or [0] * sum(sizes))
    assert groups.forming
    for group in Layout(tuple(sizes)).leaders:
        groups.add_ready(group)
    assert not groups.forming
    return groups


@st.composite
def splits(draw):
    """Sizes of the groups at first, and others of the same ranks."""
    first = draw(st.lists(st.integers(1, 6), min_size=1, max_size=12))
    cuts = draw(st.sets(st.integers(1, sum(first)))) | {sum(first)}
    ends = sorted(cuts)
    return first, [end - begin for begin, end in zip([0, *ends], ends, strict=False)]


@given(splits(), st.lists(st.integers(0, 3), min_size=80, max_size=80))
def test_groups_are_formed_of_all_idle_ranks_and_what_fits_stays(split, nodes):
    first, sizes = split
    formation, gone = ready(first, nodes), []
    before = {ranks[0]: ranks for ranks in Layout(tuple(first)).groups}
    orders = formation.reform(sizes)
    after = {group: ranks for group, ranks in before.items() if group not in orders}
    formed = {new[0]: new for groups in orders.values() for new in groups}
    for group, groups in orders.items():
        assert {rank for new in groups for rank in new} >= set(before[group]), "each rank is told its new group"
        assert all(set(new) & set(before[group]) for new in groups), "and no stranger's"
        assert before[group] not in groups, "a group that would be formed as it was may stay"
        if group in formed:
            assert len(formed[group]) != len(before[group]), "number and size tell the new from the old"
    assert not set(formed) & set(after)
    assert sorted(rank for ranks in (*formed.values(), *after.values()) for rank in ranks) == list(range(sum(first)))
    assert sorted(map(len, (*formed.values(), *after.values()))) == sorted(sizes)
    assert formation.sizes == {group: len(ranks) for group, ranks in (formed | after).items()}
    if sorted(first) == sorted(sizes):
        assert not orders and not formation.forming
        return
    assert set(formation.idle) == set(after)
    # New groups may be ready before all of the old ones have said their last word, and the other way round.
    for part in ("ready", "gone") if first[0] % 2 else ("gone", "ready"):
        for group in formed if part == "ready" else orders:
            assert formation.forming
            formation.add_ready(group) if part == "ready" else gone.append(formation.dissolved())
    assert gone == [False] * (len(orders) - 1) + [True]
    assert not formation.forming
    assert formation.idle_sizes == tuple(sorted(sizes, reverse=True))
    assert (formation.num_idle, formation.num_idle_ranks) == (len(sizes), sum(first))


def test_a_large_group_stays_on_one_node_where_one_has_room():
    groups = ready([2, 2, 2, 2], nodes=[0, 0, 1, 1, 2, 2, 2, 2])
    assert groups.reform([4, 2, 2]) == {4: ((4, 5, 6, 7),), 6: ((4, 5, 6, 7),)}
    groups = ready([1] * 6, nodes=[0, 0, 1, 1, 1, 1])
    assert {new for formed in groups.reform([4, 2]).values() for new in formed} == {(0, 1), (2, 3, 4, 5)}


@given(splits(), st.data())
def test_the_best_place_is_large_then_near(split, data):
    first, _ = split
    nodes = data.draw(st.lists(st.integers(0, 2), min_size=sum(first), max_size=sum(first)))
    groups = ready(first, nodes)
    sizes = groups.sizes
    for group in data.draw(st.lists(st.sampled_from(sorted(sizes)), unique=True, max_size=len(sizes) - 1)):
        groups.take(group)
        assert not groups.is_idle(group)
    idle = set(groups.idle)
    holders = data.draw(st.lists(st.integers(0, sum(first) - 1), max_size=4))  # of whom some may lead no group now
    chosen = groups.nearest(holders)
    largest = {group for group in idle if sizes[group] == max(sizes[i] for i in idle)}
    assert chosen in largest and groups.is_idle(chosen)
    if here := largest & set(holders):
        assert chosen in here
    elif near := {group for group in largest if nodes[group] in {nodes[holder] for holder in holders}}:
        assert chosen in near


class Regrouped(PlayedGroups):
    """Plays ranks that change groups; former leaders keep their states, serve them, and tell what is on disk.

    Reports of different ranks overtake each other as they like.
    """

    def __init__(self, coordinator, files, layout, rng, fails):
        self.coordinator, self.files, self.rng, self.fails = coordinator, files, rng, fails
        self.num_objectives = 1
        self.ranks = {ranks[0]: ranks for ranks in layout.groups}
        self.memory = [{} for _ in range(sum(layout.sizes))]
        self.orders, self.unwritten, self.sent = {}, [], Counter()
        self.on_the_way = [Ready(group) for group in layout.leaders]
        self.told = {}  # new group, by rank that was told and waits for others
        self.sizes = {}  # of the group that trained each member
        self.num_told_to_former = self.num_served_by_former = 0

    def take_orders(self):
        for leader, message in (*self.coordinator.decide(), *self.coordinator.prepare()):
            for member_id in message.drop:
                del self.memory[leader][member_id]
            if isinstance(message, Prefetch):
                assert leader not in self.ranks and message.drop and not message.sources
                self.num_told_to_former += 1
            elif message.kind is OrderKind.REGROUP:
                self.dissolve(leader, message.groups)
            else:
                assert leader in self.ranks and leader not in self.orders
                self.orders[leader] = message
                for source in message.sources:
                    self.num_served_by_former += any(holder not in self.ranks for holder in source.holders[:1])
                    self.fetch(leader, source)

    def dissolve(self, leader, groups):
        """Groups are formed once all their ranks have been told."""
        self.on_the_way.append(Dissolved(leader, {"wait": 1.0}))
        for rank in self.ranks.pop(leader):
            (self.told[rank],) = [new for new in groups if rank in new]
        for new in groups:
            if all(rank in self.told for rank in new):
                self.ranks[new[0]] = new
                self.on_the_way.append(Ready(new[0]))
                for rank in new:
                    del self.told[rank]

    def step(self):
        if self.on_the_way and (not self.orders or self.rng.random() < 0.7):
            self.coordinator.receive(self.on_the_way.pop(int(self.rng.integers(len(self.on_the_way)))))
            self.take_orders()
        else:
            assert self.orders or self.unwritten, "nothing is under way, and the run has not ended"
            super().step()

    def finish(self, group, order):
        if order.kind is OrderKind.TRAIN:
            self.sizes[order.member.id] = len(self.ranks[group])
        super().finish(group, order)


class AsItLikes:
    """Forms groups of any sizes whenever it is asked; the same for the same question."""

    def __init__(self, seed):
        self.seed = seed

    def num_groups(self, num_ranks):
        return num_ranks

    def sizes(self, promises, num_ranks):
        rng = np.random.default_rng([self.seed, num_ranks, zlib.crc32(repr(promises).encode())])
        cuts = np.flatnonzero(rng.random(num_ranks - 1) < 0.5) + 1
        return tuple(sorted(np.diff([0, *cuts.tolist(), num_ranks]).tolist(), reverse=True))


def play(path, make, allocation, layout=LAYOUT, seed=0, deaths=0, fails=frozenset()):
    """A whole run, killed and resumed at random moments; gives its journal's members and evaluations."""
    path.mkdir()
    rng = np.random.default_rng(seed)
    files, book = Files(), path / "journal.jsonl"
    while True:
        coordinator = coordinate(make(), book, files, layout, nodes=NODES, allocation=allocation)
        groups = Regrouped(coordinator, files, layout, rng, fails)
        life = rng.integers(1, 60) if deaths else math.inf
        while not coordinator.finished and life > 0:
            groups.step()
            life -= 1
        if coordinator.finished:
            return outcome(book), groups
        deaths -= 1


SEARCHES = {
    "generations": lambda: search(Genetic),
    "fewer members than groups": lambda: Genetic(SPACE, seed=3, population_size=3, generations=9, budget=1),
    "without a barrier": lambda: search(AsynchronousPBT),
    "early stopping": lambda: SuccessiveHalving(
        SPACE, seed=3, budget=1, wrapped=Genetic, rungs=(1, 2, 4), population_size=6, generations=4
    ),
}


@pytest.mark.parametrize("make", SEARCHES.values(), ids=SEARCHES)
@pytest.mark.parametrize("deaths", [0, 4])
@pytest.mark.parametrize("seed", range(3))
def test_groups_that_form_and_dissolve_all_the_time_lose_nothing(tmp_path, make, deaths, seed):
    fails = {5, 6, 11} if seed == 2 else frozenset()
    _, groups = play(tmp_path / "a", make, AsItLikes(seed), seed=seed, deaths=deaths, fails=fails)
    events = [record["event"] for record in journal.read(tmp_path / "a" / "journal.jsonl")]
    assert events.count("regroup") > 3
    former = set(range(12)) - set(groups.ranks)
    assert sum(len(groups.memory[rank]) for rank in former) < 20, "former leaders are told what to drop"


def test_former_leaders_serve_what_they_keep_and_drop_what_nobody_wants(tmp_path):
    _, groups = play(tmp_path / "a", SEARCHES["early stopping"], AsItLikes(0))
    assert groups.num_told_to_former and groups.num_served_by_former


@pytest.mark.parametrize("make", [SEARCHES["generations"], SEARCHES["fewer members than groups"]])
@pytest.mark.parametrize("by_fitness", [False, True])
@pytest.mark.parametrize("deaths", [0, 4])
def test_generations_give_the_same_whoever_trains_them(tmp_path, make, by_fitness, deaths):
    fixed, _ = play(tmp_path / "fixed", make, None)
    formed, _ = play(tmp_path / "formed", make, Allocation(2, 4, by_fitness), seed=1, deaths=deaths)
    assert formed == fixed


def test_ranks_without_work_join_others(tmp_path):
    _, groups = play(tmp_path / "spare", SEARCHES["fewer members than groups"], Allocation(2, 6, by_fitness=False))
    assert set(groups.sizes.values()) == {4}
    _, groups = play(tmp_path / "fitness", SEARCHES["fewer members than groups"], Allocation(2, 6, by_fitness=True))
    assert set(groups.sizes.values()) >= {2, 5}  # two children of the best share what is to spare
    _, groups = play(tmp_path / "rungs", SEARCHES["early stopping"], Allocation(2, None, by_fitness=False))
    sizes = list(groups.sizes.values())
    assert 12 in sizes and 2 in sizes[sizes.index(12) :], "and leave when more wait again"


@pytest.mark.parametrize("allocation", [None, Allocation(2, 6, by_fitness=True)])
def test_the_children_of_the_best_have_most_ranks(tmp_path, allocation):
    layout = Layout((2, 6, 4)) if allocation is None else LAYOUT
    book = tmp_path / "a" / "journal.jsonl"
    _, groups = play(tmp_path / "a", SEARCHES["fewer members than groups"], allocation, layout=layout)
    records = list(journal.read(book))
    foms = {r["evaluation"]["member_id"]: r["evaluation"]["fom"] for r in records if r["event"] == "tell"}
    members = [r["member"] for r in records if r["event"] == "ask"]
    for generation in range(1, 9):
        of_it = [m for m in members if m["generation"] == generation]
        by_promise = sorted(of_it, key=lambda m: foms[m["weights_parents"][0]])
        sizes = [groups.sizes[m["id"]] for m in by_promise]
        assert sizes == sorted(sizes, reverse=True)
