"""The loop of a coordinator: it looks at reports and answers only when there are any, and must never sleep for ever."""

import itertools
from functools import partial

import pytest

from nestedga.coordination.serve import serve
from nestedga.population.member import Evaluation
from nestedga.protocol import messages
from nestedga.protocol.messages import Evaluated, OrderKind, Ready, Stopped
from nestedga.search.evolution.genetic import Genetic
from nestedga.search.sampling.sampling import Sampling
from tests.coordination.test_coordinator import SPACE, Files, Thinking, coordinate


class Groups:
    """Groups that do what they are told at once, one after the other."""

    def __init__(self, num_groups):
        self.reports = [Ready(group) for group in range(num_groups)]
        self.coordinator = None

    def poll_reports(self):
        assert self.reports or self.coordinator.thinking, "nobody is under way, and the coordinator waits for somebody"
        return [self.reports.pop(0)] if self.reports else []

    def order(self, leader, order):
        if order.kind is OrderKind.TRAIN:
            report = Evaluated(leader, Evaluation(order.member.id, order.member.genotype["x"]))
        else:
            report = messages.Tested(leader, {}, {}) if order.kind is OrderKind.TEST else Stopped(leader, {})
        self.reports.append(report)

    def send_prefetch(self, leader, ahead):
        """Nobody has a state here."""

    def flush(self, limit_seconds):
        """Nothing is on its way."""


MAKE = {
    "by generation": partial(Genetic, population_size=6, generations=3),
    "at once": partial(Sampling, evaluations=17),
    "one ahead": partial(Sampling, evaluations=17, prefetch=1),
    "three ahead": partial(Sampling, evaluations=17, prefetch=3),
}


@pytest.mark.parametrize("looks", [None, 0, 1, 2, 3])
@pytest.mark.parametrize("num_groups", [1, 2, 3, 8])
@pytest.mark.parametrize("name", MAKE)
def test_it_comes_to_its_end_however_long_the_search_thinks(tmp_path, name, num_groups, looks):
    make = partial(MAKE[name], SPACE, seed=3, budget=1)
    search = make() if looks is None else Thinking(make(), looks)
    groups = Groups(num_groups)
    groups.coordinator = coordinate(search, tmp_path / "j", Files(), num_groups)
    beats = itertools.count()
    serve(groups.coordinator, groups, show=lambda: None, beat=lambda: next(beats))
    assert next(beats) > 0
    assert groups.coordinator.finished and not groups.reports
