"""Several coordinators whose best migrate: groups and mail are played, and the whole job dies wherever it hurts."""

import math
from collections import deque
from functools import partial
from importlib import import_module
from itertools import pairwise

import numpy as np
import pytest
import yaml

from nestedga.coordination.migration import Migration
from nestedga.errors import SettingError
from nestedga.job.composition import CONF
from nestedga.job.configuration import Configuration
from nestedga.job.plan import IMMIGRATION, make_plan
from nestedga.population.member import Evaluation, Member
from nestedga.protocol.messages import Ended, Migrant, Ready
from nestedga.record import journal
from nestedga.record.events import from_json
from nestedga.search.evolution.genetic import Genetic
from nestedga.search.evolution.steady_state import SteadyState
from nestedga.search.pbt.pbt import PBT, AsynchronousPBT
from tests.coordination.test_coordinator import SPACE, Files, PlayedGroups, Thinking, coordinate, trained

SEARCHES = {
    "steady_state": partial(SteadyState, tournament=2),
    "pbt_async": AsynchronousPBT,
    "pbt": PBT,
    "genetic": Genetic,
}


class HandedOver:
    """Files that go from part to part: what is handed over stays, whatever becomes of it at home."""

    def __init__(self, part, files):
        self.part, self.files, self.arrivals = part, files, {}

    def hand_over(self, member_id, part):
        self.arrivals[part, self.part, member_id] = self.files[self.part].content[member_id]

    def take_in(self, part, member_id, own_id):
        self.files[self.part].content[own_id] = self.arrivals.pop((self.part, part, member_id))


class Parts:
    """All parts of one start of a job."""

    def __init__(self, path, make, files, rng, *, interval, topology, num_groups):
        self.rng, num_parts = rng, len(files)
        self.mail = [deque() for _ in files]
        arrivals = {}
        self.groups = []
        for part in range(num_parts):
            handed_over = HandedOver(part, files)
            handed_over.arrivals = arrivals
            post = lambda to, letter: self.mail[to].append(letter)  # noqa: E731
            migration = Migration(
                part, num_parts, interval=interval, topology=topology, seed=part, files=handed_over, post=post
            )
            book = path / f"{part}.jsonl"
            coordinator = coordinate(make(part), book, files[part], num_groups, migration=migration)
            self.groups.append(PlayedGroups(coordinator, files[part], num_groups, rng))

    @property
    def finished(self):
        return all(groups.coordinator.finished for groups in self.groups)

    def step(self):
        """Something happens in one part."""
        part = int(self.rng.integers(len(self.groups)))
        if self.groups[part].coordinator.finished:
            assert not self.mail[part], "a letter that nobody reads"
            return
        if self.mail[part] and self.rng.random() < 0.5:
            self.groups[part].coordinator.receive(self.mail[part].popleft())
        while self.groups[part].unwritten and self.rng.random() < 0.7:
            self.groups[part].write()  # or the best would have changed before it can go
        self.groups[part].step()


def run(path, kind, seed=0, *, deaths=0, num_parts=2, num_groups=2, interval=3, topology="ring", thinking=False):
    """A whole run; gives each part's records and files."""
    rng = np.random.default_rng(seed)
    files = [Files() for _ in range(num_parts)]

    def make(part):
        search = partial(SEARCHES[kind], SPACE, seed=part, population_size=6, generations=6, budget=1)
        return Thinking(search()) if thinking else search()

    while True:
        parts = Parts(path, make, files, rng, interval=interval, topology=topology, num_groups=num_groups)
        life = rng.integers(1, 60) if deaths else math.inf
        while not parts.finished and life > 0:
            parts.step()
            life -= 1
        if parts.finished:
            return [list(journal.read(path / f"{part}.jsonl")) for part in range(num_parts)], files
        deaths -= 1


def states_of(records):
    """The state of each member, computed from what all journals say of its ancestors."""
    asked = [{r["member"]["id"]: from_json("ask", r).member for r in part if r["event"] == "ask"} for part in records]
    origins = [{r["member"]["id"]: r["origin"] for r in part if r["event"] == "immigrate"} for part in records]

    def state(part, member_id):
        if member_id < 0:
            return state(origins[part][member_id]["part"], origins[part][member_id]["member_id"])
        member = asked[part][member_id]
        return trained(member, [state(part, parent) for parent in member.weights_parents])

    return {(part, member_id): state(part, member_id) for part, members in enumerate(asked) for member_id in members}


@pytest.mark.parametrize("kind", SEARCHES)
@pytest.mark.parametrize(
    ("deaths", "thinking"), [(0, False), (5, False), (0, True), (5, True)], ids=["", "dying", "thinking", "both"]
)
def test_immigrants_bring_their_weights_and_each_search_is_a_function_of_its_journal(tmp_path, kind, deaths, thinking):
    moved = children = 0
    for seed in range(3):
        path = tmp_path / str(seed)
        path.mkdir()
        records, files = run(path, kind, seed, deaths=deaths, thinking=thinking)
        states = states_of(records)
        gone = [[(r["part"], r["member_id"]) for r in part if r["event"] == "emigrate"] for part in records]
        for number, part in enumerate(records):
            assert part[-1]["event"] == "end" and part[-1]["status"] == "complete"
            told = [from_json("tell", r).evaluation for r in part if r["event"] == "tell"]
            assert len(told) == len({e.member_id for e in told}) == 36
            assert all(e.checksum == states[number, e.member_id] for e in told)
            came = [r for r in part if r["event"] == "immigrate"]
            assert [r["member"]["id"] for r in came] == [-1 - i for i in range(len(came))]
            assert all((number, r["origin"]["member_id"]) in gone[r["origin"]["part"]] for r in came)
            assert len(gone[number]) == len(set(gone[number]))
            assert len(files[number].content) <= 2, "the best, and a parent whose child came last"
            assert min(files[number].content) >= 0, "who is best elsewhere is not best here"
            moved += len(came)
            children += sum(p < 0 for r in part if r["event"] == "ask" for p in r["member"]["weights_parents"])
            check_replay(part, SEARCHES[kind](SPACE, seed=number, population_size=6, generations=6, budget=1))
    assert moved >= 6 and children >= 2, (moved, children)


def check_replay(records, search):
    """Asks a fresh search in the order of the journal; it must answer what is journalled."""
    untold, num_told = deque(), 0
    for record in records:
        if record["event"] in ("tell", "immigrate"):
            untold.append(record)
            num_told += 1
        elif record["event"] == "ask":
            while num_told - len(untold) < record.get("told", num_told):
                said = untold.popleft()
                evaluation = from_json(said["event"], said).evaluation
                if said["event"] == "tell":
                    search.tell(evaluation)
                else:
                    search.immigrate(from_json(said["event"], said).member, evaluation)
            assert search.ask(1) == [from_json("ask", record).member]


@pytest.mark.parametrize("topology", ["ring", "random"])
def test_emigrants_go_where_the_topology_says_and_pass_over_parts_that_have_ended(tmp_path, topology):
    records, _ = run(tmp_path, "steady_state", num_parts=4, num_groups=1, interval=2, topology=topology)
    ways = {(part, r["part"]) for part, of in enumerate(records) for r in of if r["event"] == "emigrate"}
    assert ways and all(a != b for a, b in ways)
    if topology == "ring":
        assert {(0, 1), (1, 2), (2, 3), (3, 0)} <= ways
    else:
        assert len(ways) > 4


def test_nobody_emigrates_more_often_than_the_interval_says(tmp_path):
    records, _ = run(tmp_path, "steady_state", interval=7)
    for part in records:
        told, at = 0, [0]
        for record in part:
            told += record["event"] == "tell"
            if record["event"] == "emigrate":
                at.append(told)
        assert len(at) > 1 and all(b - a >= 7 for a, b in pairwise(at))


def test_without_an_interval_nobody_migrates_and_all_still_wait_for_each_other(tmp_path):
    records, _ = run(tmp_path, "pbt", interval=None, num_parts=3)
    assert not any(record["event"] in ("emigrate", "immigrate") for part in records for record in part)


def one_part(path, files, letters):
    handed_over = HandedOver(0, [files])
    migration = Migration(
        0, 2, interval=1, topology="ring", seed=0, files=handed_over, post=lambda part, letter: letters.append(letter)
    )
    search = SteadyState(SPACE, seed=0, population_size=2, generations=2, budget=1, tournament=8, replace="worst")
    return handed_over, coordinate(search, path, files, 1, migration=migration)


def test_what_comes_after_the_end_is_left_lying(tmp_path):
    files, letters = Files(), []
    _, coordinator = one_part(tmp_path / "journal.jsonl", files, letters)
    groups = PlayedGroups(coordinator, files, 1, np.random.default_rng(0))
    while Ended(0) not in letters:
        groups.step()
    assert not coordinator.finished, "the other part may still write"
    before = list(journal.read(tmp_path / "journal.jsonl"))
    member = Member(3, 0, 0, {"x": 0.5}, (), (), 1)
    coordinator.receive(Migrant(1, member, Evaluation(3, 0.0, checksum=1)))
    coordinator.receive(Ended(1))
    assert coordinator.decide() == [] and coordinator.finished
    assert list(journal.read(tmp_path / "journal.jsonl")) == before


def test_a_lost_immigrant_is_named(tmp_path):
    book, files, letters = tmp_path / "journal.jsonl", Files(), []
    handed_over, first = one_part(book, files, letters)
    handed_over.arrivals[0, 1, 3] = 77
    first.receive(Migrant(1, Member(3, 0, 0, {"x": 0.5}, (), (), 1), Evaluation(3, -5.0, checksum=77)))
    groups = PlayedGroups(first, files, 1, np.random.default_rng(0))
    assert files.content == {-1: 77}
    while not any(-1 in order.member.weights_parents for order in groups.orders.values()):
        groups.finish(0, groups.orders.pop(0))
        groups.write()
        groups.take_orders()
    files.content[-1] = None  # damaged
    _, second = one_part(book, files, letters)
    second.receive(Ready(0))
    with pytest.raises(SettingError, match="immigrant -1"):
        second.decide()


def test_the_searches_that_a_refusal_names_are_those_that_take_immigrants():
    takes = []
    for file in sorted((CONF / "search").glob("*.yaml")):
        module, _, name = yaml.safe_load(file.read_text())["_target_"].rpartition(".")
        if getattr(getattr(import_module(module), name), "takes_immigrants", False) is True:
            takes.append(file.stem)
    assert takes == list(IMMIGRATION)


def test_each_part_draws_for_itself_and_begins_where_the_one_before_ends():
    plans = [make_plan(Configuration(["coordinator.count=3", "groups.group_size=2"]), 14, rank) for rank in range(14)]
    assert [plan.part for plan in plans] == [0] * 4 + [1] * 6 + [2] * 4
    assert [plan.layout.first for plan in plans] == [0] * 4 + [4] * 6 + [10] * 4
    seeds = {plan.part: plan.settings.seed for plan in plans}
    assert len(set(seeds.values())) == 3 and all(plan.search.seed == seeds[plan.part] for plan in plans)
    alone = make_plan(Configuration(["seed=7"]), 14, 13)
    assert (alone.part, alone.settings.seed, alone.layout.first) == (None, 7, 0)
