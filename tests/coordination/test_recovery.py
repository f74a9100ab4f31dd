"""What is lost comes back: states vanish while a run goes on, and it ends as if they had not."""

import math
from collections import Counter

import numpy as np
import pytest

from nestedga.coordination.dispatch import Dispatch
from nestedga.coordination.event_log import EventLog
from nestedga.coordination.groups import Groups
from nestedga.coordination.recovery import Recovery
from nestedga.coordination.state_directory import StateDirectory
from nestedga.errors import SettingError
from nestedga.population.member import Evaluation, Member
from nestedga.protocol.layout import Layout
from nestedga.protocol.messages import Order, OrderKind, Source, Unobtainable
from nestedga.record import journal
from nestedga.record.events import MemberAsked, MemberTold
from nestedga.record.journal import Journal
from nestedga.record.members import Members
from nestedga.search.evolution.genetic import Genetic
from nestedga.search.pbt.pbt import PBT
from tests.coordination.test_coordinator import Files, PlayedGroups, coordinate, outcome, run, search


class Losing(PlayedGroups):
    """States vanish from memory and disk; whoever is to begin with one says that it is not to be had."""

    chance = 0.4
    num_unobtainable = 0
    kinds = frozenset()

    def __init__(self, *args):
        self.num_lost = Counter()
        super().__init__(*args)

    def fetch(self, group, source):
        for holder in (group, *source.holders):
            if source.member_id in self.memory[holder]:
                self.memory[group][source.member_id] = self.memory[holder][source.member_id]
                return
        if self.files.content.get(source.member_id) is not None:
            self.memory[group][source.member_id] = self.files.content[source.member_id]

    def step(self):
        candidates = [member_id for member_id in sorted(self.files.content) if self.num_lost[member_id] < 2]
        if candidates and self.rng.random() < self.chance:
            gone = int(self.rng.choice(candidates))
            self.num_lost[gone] += 1
            self.files.content[gone] = None  # the file is there, and damaged
            for memory in self.memory:
                memory.pop(gone, None)
        super().step()

    def finish(self, group, order):
        for source in order.sources:
            if source.member_id not in self.memory[group]:
                self.num_unobtainable += 1
                self.kinds |= {order.kind}
                self.coordinator.receive(Unobtainable(group, source.member_id, {"fetch": 1.0}))
                return
        super().finish(group, order)


def play(path, kind, seed, num_groups, groups=Losing):
    path.mkdir()
    files = Files()
    coordinator = coordinate(search(kind), path / "journal.jsonl", files, num_groups)
    groups = groups(coordinator, files, num_groups, np.random.default_rng(seed))
    steps = 0
    while not coordinator.finished:
        groups.step()
        steps += 1
        assert steps < 20_000, "it goes in a circle"
    return groups


@pytest.mark.parametrize("kind", [PBT, Genetic])
@pytest.mark.parametrize("num_groups", [1, 3])
def test_states_that_are_not_to_be_had_are_trained_again(tmp_path, kind, num_groups):
    whole, _, _ = run(tmp_path / "whole", lambda: search(kind))
    kinds, num_unobtainable = set(), 0
    for seed in range(8):
        groups = play(tmp_path / str(seed), kind, seed, num_groups)
        assert outcome(tmp_path / str(seed) / "journal.jsonl") == whole
        events = [record["event"] for record in journal.read(tmp_path / str(seed) / "journal.jsonl")]
        assert events.count("unobtainable") == groups.num_unobtainable
        assert events.count("repeat") >= bool(groups.num_unobtainable)
        kinds |= groups.kinds
        num_unobtainable += groups.num_unobtainable
    assert num_unobtainable > 8 and OrderKind.TRAIN in kinds


def test_so_are_those_that_the_test_split_is_read_with(tmp_path):
    class AtLast(Losing):
        """Loses the best, and all else, once everything is trained."""

        chance = 0.0

        def finish(self, group, order):
            if order.kind is OrderKind.TEST and not self.num_unobtainable:
                self.memory[group].clear()
                self.files.content = dict.fromkeys(self.files.content)
            super().finish(group, order)

    whole, _, _ = run(tmp_path / "whole", search)
    groups = play(tmp_path / "losing", PBT, 0, 1, AtLast)
    assert outcome(tmp_path / "losing" / "journal.jsonl") == whole
    assert OrderKind.TEST in groups.kinds
    repeated = [r["member_id"] for r in journal.read(tmp_path / "losing" / "journal.jsonl") if r["event"] == "repeat"]
    assert len(repeated) == len(set(repeated)) > 1, "its whole lineage, that nobody remembered, oldest first"
    assert repeated == sorted(repeated)


def test_a_state_that_is_never_to_be_had_ends_the_job_in_one_line(tmp_path):
    class Never(Losing):
        """However often it is trained again."""

        chance = 0.0

        def finish(self, group, order):
            if order.kind is OrderKind.TRAIN and order.sources:
                self.coordinator.receive(Unobtainable(group, order.sources[0].member_id, {}))
            else:
                super().finish(group, order)

    with pytest.raises(SettingError, match=r"the state of member \d+ was not to be had 3 times in a row"):
        play(tmp_path / "a", PBT, 0, 1, Never)


def member(member_id, parents=()):
    return Member(member_id, 0, 0, {"x": 0.5}, parents, parents, 1)


def parts(tmp_path):
    """Recovery with its parts, and no coordinator; members 0, 1 and 2 are a lineage, all states durable."""
    log = EventLog(Journal(tmp_path / "journal.jsonl"), Members(("min",)))
    groups = Groups(Layout((1, 1, 1)))
    states = StateDirectory(Files(), groups.nodes, log.members)
    dispatch = Dispatch(groups, states, by_promise=False)
    for group in range(3):
        groups.add_ready(group)
    for member_id in range(3):
        log.append(MemberAsked(member(member_id, (member_id - 1,) if member_id else ())))
        states.add(log.append(MemberTold(0, Evaluation(member_id, 1.0 - member_id, checksum=member_id))))
        states.add_holder(member_id, 0)
        states.add_durable([member_id])
    states.forget({2})
    return log, states, dispatch, Recovery(log, states, dispatch, repeatable=True)


def test_a_lost_state_is_brought_back_from_the_nearest_that_is_there(tmp_path):
    _, states, dispatch, recovery = parts(tmp_path)
    child = member(3, (2,))
    work = recovery.work(OrderKind.TRAIN, child, (2,))
    assert (work.kind, work.states) == (OrderKind.TRAIN, (2,))
    order = dispatch.send(1, work)
    assert order.sources == (Source(2, (0,), {"x": 0.5}),)
    dispatch.finish(1)
    recovery.lose(1, order, 2)
    assert states.is_lost(2)
    again = recovery.work(OrderKind.TRAIN, child, (2,))
    assert (again.kind, again.member.id) == (OrderKind.RETRAIN, 0), "what it grew from was let go"
    dispatch.send(1, again)
    assert recovery.work(OrderKind.TRAIN, child, (2,)) is None, "that is being done"


def test_others_that_have_a_state_are_asked_before_it_is_trained_again(tmp_path):
    _, states, dispatch, recovery = parts(tmp_path)
    states.add_holder(2, 0)
    first, second = (dispatch.send(g, recovery.work(OrderKind.TRAIN, member(3, (2,)), (2,))) for g in (1, 2))
    dispatch.finish(2)
    recovery.lose(2, second, 2)
    assert first.sources and list(states.holders(2)) == ([1] if second.sources[0].holders == (0,) else [])
    assert states.is_lost(2) == (not states.holders(2))


def test_a_search_is_told_nothing_twice_when_states_are_lost(tmp_path):
    log, _, _, recovery = parts(tmp_path)
    told = log.lineage(2)
    assert [one.member.id for one in told] == [0, 1, 2] and log.members.num_told == 3
    assert all(math.isfinite(one.minimised.fom) for one in told)
    with pytest.raises(SettingError, match="trained again"):
        recovery.check_repeated(Evaluation(2, 5.0, checksum=2))


def test_a_copy_that_comes_back_is_not_dropped(tmp_path):
    _, states, dispatch, recovery = parts(tmp_path)
    for group in (1, 2):  # as often as it sends one
        states.source(2, group)
    recovery.lose(2, Order(OrderKind.TRAIN, member(3, (2,)), (Source(2, (1,)),)), 2)
    assert states.is_lost(2), "who is left has sent it often enough"
    states.add_holder(2, 0)  # its group has trained it again
    order = dispatch.send(0, recovery.work(OrderKind.TRAIN, member(3, (2,)), (2,)))
    assert 2 not in dispatch.with_drops(0, order).drop
