"""The coordinator on its own: groups are played by the test, states are numbers, the job dies wherever it hurts."""

import contextlib
import json
import math
from collections import Counter
from functools import partial
from time import monotonic

import numpy as np
import pytest

from nestedga.coordination.coordinator import Coordinator, Rules
from nestedga.coordination.event_log import EventLog
from nestedga.coordination.groups import Groups
from nestedga.coordination.thinker import LocalThinker
from nestedga.errors import SettingError
from nestedga.population.genes import FloatGene
from nestedga.population.member import Evaluation, Status
from nestedga.population.space import Space
from nestedga.protocol import messages
from nestedga.protocol.layout import Layout
from nestedga.protocol.messages import Durable, Evaluated, OrderKind, Prefetch, Ready, Stopped
from nestedga.record import journal
from nestedga.record.events import from_json
from nestedga.record.journal import Journal
from nestedga.record.members import Members
from nestedga.search.evolution.genetic import Genetic
from nestedga.search.pbt.pbt import PBT, AsynchronousPBT
from nestedga.search.sampling.sampling import Sampling
from nestedga.search.wrappers.rungs import SuccessiveHalving
from nestedga.simulate.clock import Clock, PlayedThinker

SPACE = Space((FloatGene("x", 0.0, 1.0),))


class Files:
    """Durable copies: a dictionary that survives the death of a job."""

    def __init__(self):
        self.content = {}

    def all(self):
        return list(self.content)

    def intact(self, member_id):
        return self.content[member_id] is not None

    def remove(self, member_id):
        del self.content[member_id]


def trained(member, parents):
    """A state as one number, which tells the whole ancestry: its checksum here."""
    return hash((member.id, tuple(member.genotype.values()), tuple(parents))) & 0xFFFFFFFF


class PlayedGroups:
    """Plays all groups of a job; each evaluation, and each write to disk, comes when the dice say so."""

    def __init__(self, coordinator, files, num_groups, rng, fails=frozenset(), num_objectives=1):
        self.coordinator, self.files, self.rng, self.fails = coordinator, files, rng, fails
        self.num_objectives = num_objectives
        self.memory = [{} for _ in range(num_groups)]
        self.orders = {}
        self.unwritten = []
        self.sent = Counter()  # states, by (member id, who sent)
        self.aheads = 0
        for group in range(num_groups):
            coordinator.receive(Ready(group))
        self.take_orders()

    def take_orders(self):
        for group, message in (*self.coordinator.decide(), *self.coordinator.prepare()):
            if isinstance(message, Prefetch):
                assert group in self.orders and message.sources
                self.aheads += 1
            else:
                assert group not in self.orders
                for member_id in message.drop:
                    self.memory[group].pop(member_id, None)  # else read from disk in vain
                self.orders[group] = message
            for source in message.sources:
                self.fetch(group, source)

    def fetch(self, group, source):
        """At once: whoever is asked was told to get the state before."""
        if source.member_id in self.memory[group]:
            return
        if source.holders:
            self.memory[group][source.member_id] = self.memory[source.holders[0]][source.member_id]
            self.sent[source.member_id, source.holders[0]] += 1
        else:
            self.memory[group][source.member_id] = self.files.content[source.member_id]

    def step(self):
        """One thing happens: a file is written, or a group finishes."""
        if self.unwritten and (not self.orders or self.rng.random() < 0.3):
            self.write()
        elif self.orders:
            group = int(self.rng.choice(sorted(self.orders)))
            self.finish(group, self.orders.pop(group))
        self.take_orders()

    def write(self):
        group, member_id = self.unwritten.pop(0)
        if member_id in self.memory[group]:
            self.files.content[member_id] = self.memory[group][member_id]
            self.coordinator.receive(Durable(group, (member_id,)))

    def finish(self, group, order):
        if order.kind is OrderKind.STOP:
            last = [i for g, i in self.unwritten if g == group and i in self.memory[group]]
            self.files.content.update({i: self.memory[group][i] for i in last})
            self.coordinator.receive(Stopped(group, {}, tuple(last)))
            return
        parents = [self.memory[group][source.member_id] for source in order.sources]
        member = order.member
        if order.kind is OrderKind.TEST:
            self.coordinator.receive(messages.Tested(group, {"value": float(parents[0])}, {}))
        elif member.id in self.fails:
            self.coordinator.receive(Evaluated(group, Evaluation(member.id, math.nan, Status.FAILED)))
        else:
            assert len(parents) == len(member.weights_parents)
            state = trained(member, parents)
            self.memory[group][member.id] = state
            self.unwritten.append((group, member.id))
            values = (fom_of(member, parents), -((member.genotype["x"] - 0.8) ** 2))[: self.num_objectives]
            objectives = values if len(values) > 1 else ()
            evaluation = Evaluation(member.id, values[0], checksum=state, objectives=objectives)
            self.coordinator.receive(Evaluated(group, evaluation))


class Thinking(PlayedThinker):
    """A search that thinks elsewhere: each answer comes at a later look."""

    def __init__(self, search, looks=2):
        self._looks = looks
        super().__init__(search, Clock(), given=0.0)

    def request(self, n):
        self._left = self._looks
        return super().request(n)

    def poll(self):
        self._left -= 1
        return super().poll() if self._left < 0 else None


def coordinate(thinker, book, files, layout, *, nodes=None, modes=("min",), migration=None, clock=monotonic, **rules):
    """A coordinator that has replayed its journal; for a search, or for one that thinks elsewhere."""
    thinker = thinker if isinstance(thinker, Thinking) else LocalThinker(thinker)
    layout = layout if isinstance(layout, Layout) else Layout((1,) * layout)
    log = EventLog(Journal(book), Members(modes))
    coordinator = Coordinator(thinker, log, files, Groups(layout, nodes), Rules(**rules), migration, clock)
    coordinator.replay(journal.lines(book))
    return coordinator


@pytest.mark.parametrize("num_groups", [1, 2, 3, 7])
@pytest.mark.parametrize("deaths", [0, 5])
def test_a_search_that_thinks_for_long_gives_the_same_run(tmp_path, num_groups, deaths):
    for seed in range(3):
        plain, _, _ = run(tmp_path / f"plain{seed}", seed=seed, num_groups=num_groups)
        late, _, _ = run(tmp_path / f"late{seed}", lambda: Thinking(search()), num_groups, seed, deaths)
        assert late == plain


def fom_of(member, parents):
    return (member.genotype["x"] - 0.3) ** 2 + (parents[0] % 97) / 1e4 if parents else 1.0 + member.genotype["x"]


def search(kind=PBT, **more):
    return kind(SPACE, seed=3, population_size=6, generations=6, budget=1, **more)


def run(path, make=search, num_groups=3, seed=0, deaths=0, fails=frozenset(), modes=("min",)):
    """A whole run, killed and resumed at random moments; gives its journal's members and evaluations."""
    path.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    files, book = Files(), path / "journal.jsonl"
    while True:
        coordinator = coordinate(make(), book, files, num_groups, modes=modes)
        groups = PlayedGroups(coordinator, files, num_groups, rng, fails, len(modes))
        life = rng.integers(1, 30) if deaths else math.inf
        while not coordinator.finished and life > 0:
            groups.step()
            life -= 1
        if coordinator.finished:
            return outcome(book), files, groups
        deaths -= 1
        if files.content and rng.random() < 0.3:
            files.content[int(rng.choice(sorted(files.content)))] = None  # damaged by the crash
        with book.open("ab") as file:
            file.write(b'{"event":"tell","torn')


def outcome(book):
    records = list(journal.read(book))
    members = {r["member"]["id"]: r["member"] for r in records if r["event"] == "ask"}
    evaluations = {r["evaluation"]["member_id"]: r["evaluation"] for r in records if r["event"] == "tell"}
    tests = [record["metrics"] for record in records if record["event"] == "test"]
    assert sum(record["event"] == "tell" for record in records) == len(evaluations), "an evaluation was told twice"
    return json.dumps([members, evaluations, tests], sort_keys=True)


@pytest.mark.parametrize("make", [search, lambda: search(Genetic), lambda: search(Genetic, elites=1, inherit="none")])
@pytest.mark.parametrize("num_groups", [1, 2, 4, 9])
def test_the_outcome_does_not_depend_on_the_number_of_groups(tmp_path, make, num_groups):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    alone, *_ = run(tmp_path / "a", make, num_groups=1)
    together, *_ = run(tmp_path / "b", make, num_groups=num_groups, seed=1)
    assert alone == together


@pytest.mark.parametrize("kind", [PBT, Genetic])
@pytest.mark.parametrize("seed", range(12))
def test_killed_and_resumed_it_ends_as_if_never_interrupted(tmp_path, kind, seed):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    fails = frozenset({2, 9, 17})
    whole, *_ = run(tmp_path / "a", lambda: search(kind), fails=fails)
    pieces, files, _ = run(tmp_path / "b", lambda: search(kind), seed=seed, deaths=10, fails=fails)
    assert whole == pieces
    assert len(files.content) <= 2  # the best, and a parent whose child came last


def front_of(book, signs):
    """From the journal by brute force: who is dominated by nobody, by objectives; of equal ones the lowest id."""
    told = [from_json("tell", r).evaluation for r in journal.read(book) if r["event"] == "tell"]
    values = {e.member_id: tuple(s * v for s, v in zip(signs, e.values, strict=True)) for e in told if e.ok}
    front = [
        i
        for i, a in values.items()
        if not any((np.array(b) <= a).all() and (a != b or j < i) for j, b in values.items() if j != i)
    ]
    return sorted(front, key=values.__getitem__)


@pytest.mark.parametrize("kind", [PBT, Genetic])
@pytest.mark.parametrize("seed", range(6))
def test_states_of_the_whole_front_are_kept_also_when_killed_and_resumed(tmp_path, kind, seed):
    two = {"modes": ("min", "max"), "fails": frozenset({2, 9, 17})}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole, files, groups = run(tmp_path / "a", lambda: search(kind), **two)
    front = front_of(tmp_path / "a" / "journal.jsonl", (1, -1))
    assert len(front) > 2 and set(files.content) >= set(front)
    records = list(journal.read(tmp_path / "a" / "journal.jsonl"))
    assert records[-1]["front"] == front
    tests = [record["member_id"] for record in records if record["event"] == "test"]
    assert tests == front[:1], "the test split is read for the best by the first objective"
    assert not any(record.get("task") == "retrain" for record in records), "a state was dropped before it was written"
    in_memory = {member_id for memory in groups.memory for member_id in memory}
    assert not in_memory & set(front[1:]), "what is on disk and begun with by nobody needs no memory"
    pieces, files, _ = run(tmp_path / "b", lambda: search(kind), seed=seed, deaths=10, **two)
    assert whole == pieces
    assert set(files.content) >= set(front) and all(files.content[i] is not None for i in front)
    assert len(files.content) <= len(front) + 1  # a parent whose child came last


def test_memory_holds_only_what_may_still_be_wanted(tmp_path):
    _, _, groups = run(tmp_path, num_groups=2)
    assert sum(len(memory) for memory in groups.memory) <= 14  # two generations and the best


def test_a_child_goes_where_its_parent_is(tmp_path):
    _, _, groups = run(tmp_path, num_groups=1)
    assert not groups.sent


@pytest.mark.parametrize("make", [search, lambda: search(Genetic), lambda: search(AsynchronousPBT, prefetch=1)])
@pytest.mark.parametrize("num_groups", [2, 5, 9])
def test_no_group_sends_a_state_more_than_twice(tmp_path, make, num_groups):
    _, _, groups = run(tmp_path, make, num_groups)
    assert max(groups.sent.values()) <= 2


@pytest.mark.parametrize("ahead", [0, 1, 2])
def test_members_are_asked_ahead_as_far_as_the_search_allows(tmp_path, ahead):
    make = partial(Sampling, SPACE, seed=3, budget=1, evaluations=30, prefetch=ahead)
    run(tmp_path, make, num_groups=3)
    asked, told = [], 0
    for record in journal.read(tmp_path / "journal.jsonl"):
        told += record["event"] == "tell"
        if record["event"] == "ask":
            asked.append(told)
    lead = [number - told for number, told in enumerate(asked)]  # members out or waiting when this one was asked
    assert max(lead) == 2 + 3 * ahead


def test_states_are_fetched_ahead(tmp_path):
    _, _, groups = run(tmp_path / "ahead", lambda: search(PBT), num_groups=2)
    assert groups.aheads
    _, _, groups = run(tmp_path / "late", lambda: search(AsynchronousPBT), num_groups=2)
    assert not groups.aheads


def test_nobody_waits_for_a_member_that_is_meant_for_another(tmp_path):
    """One group is stuck with its member: the others take what was earmarked for it."""
    make = partial(Sampling, SPACE, seed=3, budget=1, evaluations=12, prefetch=2)
    coordinator = coordinate(make(), tmp_path / "j", Files(), 2)
    groups = PlayedGroups(coordinator, Files(), 2, np.random.default_rng(0))
    for _ in range(11):
        groups.finish(1, groups.orders.pop(1))
        groups.take_orders()
    assert 1 not in groups.orders and groups.orders[0].kind is OrderKind.TRAIN
    assert not coordinator.finished


def test_best_follows_the_mode(tmp_path):
    for mode in ("min", "max"):
        (tmp_path / mode).mkdir()
        run(tmp_path / mode, modes=(mode,))
        records = list(journal.read(tmp_path / mode / "journal.jsonl"))
        foms = {r["evaluation"]["member_id"]: r["evaluation"]["fom"] for r in records if r["event"] == "tell"}
        tested = next(record["member_id"] for record in records if record["event"] == "test")
        assert foms[tested] == (min if mode == "min" else max)(foms.values())


def test_nothing_leaves_before_it_is_journalled(tmp_path):
    book = tmp_path / "journal.jsonl"
    coordinator = coordinate(search(), book, Files(), 2)
    coordinator.receive(Ready(0))
    orders = coordinator.decide()
    written = [record["member"]["id"] for record in journal.read(book) if record["event"] == "ask"]
    assert [order.member.id for _, order in orders] == [0] and 0 in written


def test_after_the_time_limit_nothing_is_handed_out(tmp_path):
    now = [0.0]
    coordinator = coordinate(search(), tmp_path / "j", Files(), 1, max_seconds=5.0, clock=lambda: now[0])
    groups = PlayedGroups(coordinator, Files(), 1, np.random.default_rng(0))
    now[0] = 6.0
    for _ in range(20):
        if not coordinator.finished:
            groups.step()
    records = list(journal.read(tmp_path / "j"))
    assert records[-1]["event"] == "end" and records[-1]["status"] == "max_seconds"
    assert sum(record["event"] == "tell" for record in records) == 1


ASHA = partial(SuccessiveHalving, wrapped=partial(Genetic, population_size=6, generations=6), rungs=[1, 2, 4])
LIMITED = {
    "pbt": (search, 36),
    "genetic": (lambda: search(Genetic), 36),
    "asynchronous": (lambda: search(AsynchronousPBT), 36),
    "sampling": (lambda: Sampling(SPACE, seed=3, budget=1, evaluations=30), 30),
    "rungs": (lambda: ASHA(SPACE, seed=3, budget=1), None),
}


@pytest.mark.parametrize("name", LIMITED)
@pytest.mark.parametrize("num_groups", [1, 4])
def test_a_chain_of_jobs_with_time_limits_makes_a_whole_run(tmp_path, name, num_groups):
    make, num_evaluations = LIMITED[name]
    rng = np.random.default_rng(0)
    files, book = Files(), tmp_path / "journal.jsonl"
    statuses = []
    while "complete" not in statuses:
        now, limit = [0], int(rng.integers(1, 12))
        clock = lambda now=now: now[0]  # noqa: E731
        coordinator = coordinate(make(), book, files, num_groups, max_seconds=limit, clock=clock)
        groups = PlayedGroups(coordinator, files, num_groups, rng)
        while not coordinator.finished:
            now[0] += 1  # one thing happens in a second
            out = {order.member.id for order in groups.orders.values() if order.kind is OrderKind.TRAIN}
            groups.step()
            later = {order.member.id for order in groups.orders.values() if order.kind is OrderKind.TRAIN}
            assert later <= out or now[0] <= limit, "a member was handed out after the limit"
        records = list(journal.read(book))
        statuses.append(records[-1]["status"])
        foms = {r["evaluation"]["member_id"]: r["evaluation"]["fom"] for r in records if r["event"] == "tell"}
        best = min(foms, key=lambda member_id: (foms[member_id], member_id))
        assert [r["member_id"] for r in records if r["event"] == "test"][-1] == best and best in files.content
    assert len(statuses) > 2 and set(statuses[:-1]) == {"max_seconds"}
    assert len(foms) == num_evaluations or num_evaluations is None
    if name in ("pbt", "genetic"):
        (tmp_path / "whole").mkdir()
        whole, *_ = run(tmp_path / "whole", make)
        assert json.loads(outcome(book))[:2] == json.loads(whole)[:2]


def test_a_limit_before_the_first_order_is_no_failure(tmp_path):
    clock = iter((0.0, 2.0, 3.0)).__next__
    coordinator = coordinate(search(), tmp_path / "j", Files(), 1, max_seconds=1.0, clock=clock)
    groups = PlayedGroups(coordinator, Files(), 1, np.random.default_rng(0))
    groups.step()
    assert coordinator.finished and list(journal.read(tmp_path / "j"))[-1]["status"] == "max_seconds"


@pytest.mark.parametrize("repeatable", [True, False])
def test_an_interval_trained_again_must_give_the_same_where_it_can(tmp_path, repeatable):
    book, files = tmp_path / "journal.jsonl", Files()
    first = coordinate(search(), book, files, 1)
    groups = PlayedGroups(first, files, 1, np.random.default_rng(0))
    for _ in range(8):
        groups.finish(0, groups.orders.pop(0))
        groups.take_orders()
    files.content.clear()  # everything on disk is lost
    second = coordinate(search(), book, files, 1, repeatable=repeatable)
    second.receive(Ready(0))
    ((_, order),) = second.decide()
    assert order.kind is OrderKind.RETRAIN
    with pytest.raises(SettingError, match="trained again") if repeatable else contextlib.nullcontext():
        second.receive(Evaluated(0, Evaluation(order.member.id, 123.0, checksum=1)))


def test_a_run_of_which_nobody_survives_ends_as_failed(tmp_path):
    run(tmp_path, fails=frozenset(range(36)))
    assert list(journal.read(tmp_path / "journal.jsonl"))[-1]["status"] == "failed"
