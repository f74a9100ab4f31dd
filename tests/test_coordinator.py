"""The coordinator on its own: groups are played by the test, states are numbers, the job dies wherever it hurts."""

import json
import math

import numpy as np
import pytest

from nestedga import journal, messages
from nestedga.coordinator import Coordinator
from nestedga.errors import SettingError
from nestedga.genes import FloatGene
from nestedga.journal import Journal
from nestedga.member import Evaluation, Status
from nestedga.messages import Durable, Evaluated, Holding, Ready, Stopped, Task
from nestedga.search.genetic import Genetic
from nestedga.search.pbt import PBT
from nestedga.space import Space

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


class Groups:
    """Plays all groups of a job; each evaluation, and each write to disk, comes when the dice say so."""

    def __init__(self, coordinator, files, num_groups, rng, fails=frozenset()):
        self.coordinator, self.files, self.rng, self.fails = coordinator, files, rng, fails
        self.memory = [{} for _ in range(num_groups)]
        self.orders = {}
        self.unwritten = []
        self.sources_used = 0
        for group in range(num_groups):
            coordinator.receive(Ready(group))
        self.take_orders()

    def take_orders(self):
        for group, order in self.coordinator.decide():
            for member_id in order.drop:
                del self.memory[group][member_id]
            self.orders[group] = order

    def step(self):
        """One thing happens: a file is written, or a group finishes."""
        if self.unwritten and (not self.orders or self.rng.random() < 0.3):
            group, member_id = self.unwritten.pop(0)
            if member_id in self.memory[group]:
                self.files.content[member_id] = self.memory[group][member_id]
                self.coordinator.receive(Durable(member_id))
        else:
            group = int(self.rng.choice(sorted(self.orders)))
            self.finish(group, self.orders.pop(group))
        self.take_orders()

    def finish(self, group, order):
        if order.task is Task.STOP:
            for _, member_id in [item for item in self.unwritten if item[0] == group]:
                if member_id in self.memory[group]:
                    self.files.content[member_id] = self.memory[group][member_id]
                    self.coordinator.receive(Durable(member_id))
            self.coordinator.receive(Stopped(group, {}))
            return
        parents = []
        for member_id, holders in order.sources:
            if member_id not in self.memory[group]:
                copies = [self.memory[holder][member_id] for holder in holders] or [self.files.content[member_id]]
                self.memory[group][member_id] = copies[0]
                self.coordinator.receive(Holding(group, member_id))
                self.sources_used += 1
            parents.append(self.memory[group][member_id])
        member = order.member
        if order.task is Task.TEST:
            self.coordinator.receive(messages.Tested(group, {"value": float(parents[0])}, {}))
        elif member.id in self.fails:
            self.coordinator.receive(Evaluated(group, Evaluation(member.id, math.nan, Status.FAILED)))
        else:
            assert len(parents) == len(member.weights_parents)
            state = trained(member, parents)
            self.memory[group][member.id] = state
            self.unwritten.append((group, member.id))
            self.coordinator.receive(Evaluated(group, Evaluation(member.id, fom_of(member, parents), checksum=state)))


def fom_of(member, parents):
    return (member.genotype["x"] - 0.3) ** 2 + (parents[0] % 97) / 1e4 if parents else 1.0 + member.genotype["x"]


def search(kind=PBT, **more):
    return kind(SPACE, seed=3, population_size=6, generations=6, budget=1, **more)


def run(path, make=search, num_groups=3, seed=0, deaths=0, fails=frozenset(), mode="min"):
    """A whole run, killed and resumed at random moments; gives its journal's members and evaluations."""
    rng = np.random.default_rng(seed)
    files, book = Files(), path / "journal.jsonl"
    while True:
        coordinator = Coordinator(make(), Journal(book), files, mode=mode, num_groups=num_groups)
        coordinator.replay(journal.read(book))
        groups = Groups(coordinator, files, num_groups, rng, fails)
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


def test_memory_holds_only_what_may_still_be_wanted(tmp_path):
    _, _, groups = run(tmp_path, num_groups=2)
    assert sum(len(memory) for memory in groups.memory) <= 14  # two generations and the best


def test_a_child_goes_where_its_parent_is(tmp_path):
    _, _, groups = run(tmp_path, num_groups=1)
    assert groups.sources_used == 0


def test_best_follows_the_mode(tmp_path):
    for mode in ("min", "max"):
        (tmp_path / mode).mkdir()
        run(tmp_path / mode, mode=mode)
        records = list(journal.read(tmp_path / mode / "journal.jsonl"))
        foms = {r["evaluation"]["member_id"]: r["evaluation"]["fom"] for r in records if r["event"] == "tell"}
        tested = next(record["member_id"] for record in records if record["event"] == "test")
        assert foms[tested] == (min if mode == "min" else max)(foms.values())


def test_nothing_leaves_before_it_is_journalled(tmp_path):
    book = tmp_path / "journal.jsonl"
    coordinator = Coordinator(search(), Journal(book), Files(), mode="min", num_groups=2)
    coordinator.receive(Ready(0))
    orders = coordinator.decide()
    written = [record["member"]["id"] for record in journal.read(book) if record["event"] == "ask"]
    assert [order.member.id for _, order in orders] == written == [0]


def test_after_the_time_limit_nothing_is_handed_out(tmp_path):
    now = [0.0]
    coordinator = Coordinator(
        search(),
        Journal(tmp_path / "j"),
        Files(),
        mode="min",
        num_groups=1,
        max_seconds=5.0,
        clock=lambda: now[0],
    )
    groups = Groups(coordinator, Files(), 1, np.random.default_rng(0))
    now[0] = 6.0
    for _ in range(20):
        if not coordinator.finished:
            groups.step()
    records = list(journal.read(tmp_path / "j"))
    assert records[-1]["event"] == "end" and records[-1]["status"] == "max_seconds"
    assert sum(record["event"] == "tell" for record in records) == 1


def test_an_interval_trained_again_must_give_the_same(tmp_path):
    book, files = tmp_path / "journal.jsonl", Files()
    first = Coordinator(search(), Journal(book), files, mode="min", num_groups=1)
    groups = Groups(first, files, 1, np.random.default_rng(0))
    for _ in range(8):
        groups.finish(0, groups.orders.pop(0))
        groups.take_orders()
    files.content.clear()  # everything on disk is lost
    second = Coordinator(search(), Journal(book), files, mode="min", num_groups=1)
    second.replay(journal.read(book))
    second.receive(Ready(0))
    ((_, order),) = second.decide()
    assert order.task is Task.RETRAIN
    with pytest.raises(SettingError, match="trained again"):
        second.receive(Evaluated(0, Evaluation(order.member.id, 123.0, checksum=1)))


def test_a_run_of_which_nobody_survives_ends_as_failed(tmp_path):
    run(tmp_path, fails=frozenset(range(36)))
    assert list(journal.read(tmp_path / "journal.jsonl"))[-1]["status"] == "failed"
