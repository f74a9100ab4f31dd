"""The loop of a group's ranks, one of them here: its leader, with orders that lie ready and no MPI."""

from types import SimpleNamespace

import numpy as np
import pytest

from nestedga.errors import MemberFailed
from nestedga.evaluators.base import Result
from nestedga.job.worker import Worker
from nestedga.population.member import Member, Status
from nestedga.protocol import messages
from nestedga.protocol.messages import Evaluated, Order, OrderKind, Ready, Source, Stopped, Unobtainable
from nestedga.protocol.wire import decode, encode
from nestedga.rank.ledger import Ledger
from nestedga.rank.place import Place
from nestedga.states.state import State

MEMBER = Member(7, 0, 1, {"x": 1}, (3,), (3,), 1)
PARENT = State.from_arrays({"weights/a": np.ones(3)})
STOP = Order(OrderKind.STOP)


class Alone:
    """A world, and a group, of one rank."""

    rank_id, number, is_leader = 0, 0, True

    def form(self, groups):
        return self

    def broadcast(self, value):
        return value

    def gather(self, value):
        return [decode(encode(value))]

    def share(self, member_id, state):
        return state


class Leading:
    """Orders that lie ready, and the reports that answer them."""

    def __init__(self, states, orders):
        self.states, self.orders, self.reports, self.kept = states, list(orders), [], []

    def next_order(self):
        return self.orders.pop(0)

    def report(self, report):
        self.reports.append(decode(encode(report)))

    def obtain(self, source):
        return self.states.get(source.member_id)

    def keep(self, member_id, state, *, own):
        self.kept.append(member_id)

    def take_durable(self):
        return ()

    def lead(self, group): ...

    def drop(self, member_ids): ...

    def finish(self): ...


class Evaluating:
    """What a member comes to, or why not."""

    def __init__(self, answer):
        self.answer = answer

    def train(self, member, settings, parent):
        if isinstance(self.answer, BaseException):
            raise self.answer
        return Result(self.answer, parent)

    def test(self, member, settings, state):
        return {"fom": np.float32(2.0)}

    def release(self): ...

    def restart(self): ...


@pytest.fixture
def reports_of(tmp_path):
    """The reports that orders are answered with."""

    def work(*orders, answer=None, states=None):
        leader = Leading(states or {}, [*orders, STOP])
        watchdog = SimpleNamespace(beat=lambda more_seconds=0.0: None, rest=lambda: None)
        worker = Worker(
            Alone(),
            Evaluating(answer or {"fom": 2.0}),
            lambda genotype: genotype,
            lambda group: Place(None, 0, 0, 1, 0, Ledger("initialise"), watchdog),
            lambda: leader,
            seed=0,
            objectives=("fom",),
            log_path=tmp_path / "log",
        )
        worker.join([(0,)])
        worker.run()
        assert isinstance(leader.reports[0], Ready) and isinstance(leader.reports[-1], Stopped)
        return leader.reports[1:-1]

    return work


ORDERS = [Order(kind, MEMBER, (Source(3, (4, 5)),)) for kind in (OrderKind.TRAIN, OrderKind.RETRAIN, OrderKind.TEST)]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order.kind.value)
def test_a_state_that_is_not_to_be_had_is_reported_and_the_group_goes_on(reports_of, order):
    lost, trained = reports_of(order, Order(OrderKind.TRAIN, MEMBER))
    assert isinstance(lost, Unobtainable) and lost.member_id == 3 and lost.group == 0 and "fetch" in lost.ledger
    assert isinstance(trained, Evaluated) and trained.evaluation.ok


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order.kind.value)
def test_orders_are_carried_out(reports_of, order):
    (report,) = reports_of(order, states={3: PARENT})
    if order.kind is OrderKind.TEST:
        assert isinstance(report, messages.Tested) and report.metrics == {"fom": 2.0}
    else:
        assert report.evaluation.fom == 2.0 and report.evaluation.checksum == PARENT.checksum


def test_metrics_may_be_any_numbers(reports_of):
    (report,) = reports_of(Order(OrderKind.TRAIN, MEMBER), answer={"fom": 3, "done": True, "loss": np.float32(0.5)})
    assert repr(report.evaluation.metrics) == "{'fom': 3.0, 'done': 1.0, 'loss': 0.5}"


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError, Status.FAILED), (MemberFailed, Status.FAILED), (TimeoutError, Status.TIMEOUT)]
)
def test_a_failure_is_told_whatever_it_says(reports_of, tmp_path, error, status):
    (report,) = reports_of(Order(OrderKind.TRAIN, MEMBER), answer=error("no file \udcff \u00e4\nwhich was wanted"))
    assert report.evaluation.status is status
    assert report.evaluation.message == f"{error.__name__}: no file \\udcff \u00e4 (inner rank 0)"
    assert report.evaluation.log.endswith("which was wanted" if error is MemberFailed else "which was wanted\n")
    assert "no file \\udcff \u00e4\n" in (tmp_path / "log").read_text("utf-8")
