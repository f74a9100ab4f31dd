"""A history is a reading of the journal: it says what was written, holds little, and leaves no second out."""

import random
from collections import Counter
from itertools import chain

import pytest

from nestedga.population.member import Evaluation, Member, Status
from nestedga.protocol.messages import OrderKind
from nestedga.rank.ledger import ACTIVITIES
from nestedga.record.events import (
    GroupsReformed,
    MemberAsked,
    MemberRetrained,
    MemberTold,
    OrderFailed,
    OrderSent,
    RunBegan,
    RunEnded,
    RunResumed,
    TestRead,
)
from nestedga.record.history import History
from nestedga.record.journal import Journal, lines
from nestedga.report.summary import summarise
from tests.record.starts import start


class Job:
    """Writes a journal as a job with exact ledgers would; whole seconds, so that sums are exact."""

    def __init__(self, path, dice):
        self.dice, self.now, self.members, self.told = dice, 1000.0, 0, {}
        self.book = Journal(path, clock=lambda: self.now)
        self.since = {}  # when each group last handed in its seconds
        self.groups = {}  # ranks, leader first
        self.group_seconds = self.lost = 0.0
        self.begun = False

    def passes(self, seconds):
        self.now += seconds
        self.group_seconds += len(self.groups) * seconds

    def start(self):
        sizes = [self.dice.randint(1, 4) for _ in range(self.dice.randint(1, 5))]
        leaders = [sum(sizes[:i]) for i in range(len(sizes))]
        self.groups = {leader: list(range(leader, leader + size)) for leader, size in zip(leaders, sizes, strict=True)}
        self.since = dict.fromkeys(leaders, self.now)
        initialise = self.dice.randint(0, 5)
        self.passes(initialise)
        kind = RunResumed if self.begun else RunBegan
        self.begun = True
        self.book.record(start(kind, group_sizes=tuple(sizes), initialise_seconds=float(initialise)))

    def ledger(self, *groups):
        """The seconds of some groups since they were last handed in, cut anyhow."""
        seconds = Counter()
        for group in groups:
            left = self.now - self.since[group]
            self.since[group] = self.now
            while left:
                seconds[self.dice.choice(ACTIVITIES)] += (some := self.dice.randint(1, int(left)))
                left -= some
        return dict(seconds)

    def evaluate(self):
        group, member_id = self.dice.choice(list(self.groups)), self.members
        parents = (self.dice.randrange(member_id),) if member_id and self.dice.random() < 0.8 else ()
        member = Member(member_id, member_id % 4, 0, {"x": self.dice.random()}, parents, parents, 1)
        self.members += 1
        self.book.record(MemberAsked(member))
        self.book.record(OrderSent(group, member_id, OrderKind.TRAIN))
        self.passes(self.dice.randint(0, 9))
        if self.dice.random() < 0.2:
            self.book.record(OrderFailed(group, member_id, 0, self.ledger(group)))
            self.passes(self.dice.randint(0, 9))
            group = self.dice.choice(list(self.groups))
            self.book.record(OrderSent(group, member_id, OrderKind.TRAIN))
            self.passes(self.dice.randint(0, 9))
        status = self.dice.choice([Status.OK, Status.OK, Status.FAILED])
        evaluation = Evaluation(member_id, self.dice.random(), status, ledger=self.ledger(group), message="x")
        self.book.record(MemberTold(group, evaluation))
        self.told[member_id] = (member, evaluation)

    def other(self):
        if not self.told:
            return
        group, member_id = self.dice.choice(list(self.groups)), self.dice.choice(list(self.told))
        kind = self.dice.choice([OrderKind.TEST, OrderKind.RETRAIN])
        self.book.record(OrderSent(group, member_id, kind))
        self.passes(self.dice.randint(0, 9))
        ledger = self.ledger(group)
        is_test = kind is OrderKind.TEST
        self.book.record(
            TestRead(group, member_id, {}, ledger) if is_test else MemberRetrained(group, member_id, ledger)
        )

    def regroup(self):
        """Two groups become one, or one becomes two."""
        old = self.dice.sample(list(self.groups), min(len(self.groups), self.dice.randint(1, 2)))
        ranks = sorted(rank for group in old for rank in self.groups[group])
        if len(ranks) == 1:
            return
        ledger = self.ledger(*old)
        cut = len(ranks) if len(old) == 2 else self.dice.randint(1, len(ranks) - 1)
        for group in old:
            del self.groups[group], self.since[group]
        for new in filter(None, (ranks[:cut], ranks[cut:])):
            self.groups[new[0]], self.since[new[0]] = new, self.now
        groups = sorted((group, len(ranks)) for group, ranks in self.groups.items())
        self.book.record(GroupsReformed(tuple(groups), ledger))

    def end(self):
        self.passes(self.dice.randint(0, 9))
        self.book.record(RunEnded("max_seconds", (), self.ledger(*self.groups)))

    def kill(self):
        self.lost += sum(self.now - since for since in self.since.values())
        self.now += self.dice.randint(0, 9)  # nobody writes any more
        self.groups = {}

    def run(self):
        for _ in range(self.dice.randint(1, 5)):
            self.start()
            for _ in range(self.dice.randint(0, 20)):
                self.dice.choice([self.evaluate, self.evaluate, self.other, self.regroup])()
            if self.dice.random() < 0.3:
                self.end()
            self.kill()
        self.start()
        self.evaluate()
        self.end()
        self.book.close()


@pytest.fixture(params=range(25))
def job(tmp_path, request):
    job = Job(tmp_path / "journal.jsonl", random.Random(request.param))
    job.run()
    return job


@pytest.fixture
def history(job, tmp_path):
    return History.of(tmp_path / "journal.jsonl")


def test_every_second_of_every_group_is_accounted_for(job, history):
    assert sum(history.seconds.ledger.values()) == history.seconds.total == job.group_seconds
    assert history.seconds.ledger.get("lost", 0.0) == job.lost


def test_members_and_evaluations_are_those_that_were_written(job, history):
    assert history.num_evaluated == len(job.told) and history.last_id == job.members - 1
    assert -1 not in history and job.members not in history
    for member_id, (member, evaluation) in job.told.items():
        assert member_id in history and history.member(member_id) == member
        assert history.evaluation(member_id).to_json() == evaluation.to_json()
        line = history.lineage(member_id)
        assert line[-1] == member and not line[0].weights_parents
        assert [(m.id,) for m in line[:-1]] == [m.weights_parents for m in line[1:]]
    ok = {i: e for i, (_, e) in job.told.items() if e.ok}
    best = summarise(history)["best"]
    assert (best and best["fitness_fom"]) == min((e.fom for e in ok.values()), default=None)


def test_rows_hold_every_evaluation_once_in_its_order(job, tmp_path):
    history, rows = History(tmp_path / "journal.jsonl"), []
    for line in lines(tmp_path / "journal.jsonl"):
        history.take(line)
        if history.completed_row is not None:
            rows.append([evaluation.member_id for evaluation in history.completed_row])
    assert all(len(row) == 4 for row in rows) and history.num_rows == len(rows)
    rows.append([evaluation.member_id for evaluation in history.row])
    assert list(chain.from_iterable(rows)) == list(job.told)


def test_a_journal_from_before_groups_had_the_names_of_ranks_is_read(tmp_path):
    now = [100.0]
    book = Journal(tmp_path / "journal.jsonl", clock=lambda: now[0])
    member = Member(0, 0, 0, {}, (), (), 1)
    for kind in (RunBegan, RunResumed):
        book.record(start(kind, group_sizes=(2, 2), initialise_seconds=None))
        if kind is RunBegan:
            book.record(MemberAsked(member))
        book.record(OrderSent(1, 0, OrderKind.TRAIN))
        now[0] += 4
        book.record(OrderFailed(1, 0, 0, {"train": 4.0}))
        now[0] += 2
        book.record(OrderSent(1, 0, OrderKind.TRAIN))
        now[0] += 50
    book.close()
    history = History.of(tmp_path / "journal.jsonl")
    assert history.seconds.ledger == {"train": 8.0, "lost": 6.0 + 2.0} and history.seconds.total == 24.0
    assert history.seconds.wall == 12.0 and history.layout == "4 ranks = 2 groups x 2"
