"""The loop of a group: an order comes in, a member is trained, its evaluation goes out."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nestedga.comm.group import Group
from nestedga.comm.leader import Leader
from nestedga.comm.world import World
from nestedga.errors import MemberFailed, PartnerLost, SettingError
from nestedga.evaluators.base import Evaluator, Result
from nestedga.population.keys import rng_for
from nestedga.population.member import Evaluation, Genotype, Member, Status
from nestedga.protocol.messages import (
    Dissolved,
    Evaluated,
    Failure,
    Order,
    OrderKind,
    Ready,
    Report,
    Source,
    Stopped,
    Tested,
    Unobtainable,
)
from nestedga.rank.place import Place, Settings
from nestedga.states.inheritance import Parent, inherit
from nestedga.states.state import State

CLOSE_SECONDS = 600.0  # which the last states may take to come to disk, beside run.stall_seconds


class Worker:
    """One rank, in one group after another. Once it has led a group, it serves its states until it leaves.

    Args:
        world: all ranks.
        evaluator: trains members.
        configure: a genotype's settings: the base configuration with the genotype applied.
        place_in: this rank's place in a group.
        begin_to_lead: makes what a leader has; called when this rank leads for the first time.
        seed: of the draws that combine two states.
        objectives: names of the metrics that are searched for, the FoM first.
        log_path: where this rank writes why members failed.

    Attributes:
        place: in the present group, once one is joined.
    """

    place: Place

    def __init__(
        self,
        world: World,
        evaluator: Evaluator,
        configure: Callable[[Genotype], Settings],
        place_in: Callable[[Group], Place],
        begin_to_lead: Callable[[], Leader],
        *,
        seed: int,
        objectives: tuple[str, ...],
        log_path: Path,
    ) -> None:
        self._world = world
        self._evaluator = evaluator
        self._configure = configure
        self._place_in = place_in
        self._begin_to_lead = begin_to_lead
        self._seed = seed
        self._objectives = objectives
        self._log_path = log_path
        self._leader: Leader | None = None
        self._group: Group

    def join(self, groups: Iterable[tuple[int, ...]]) -> None:
        """Joins the one of these groups that has this rank; collective in each group.

        Args:
            groups: ids of the ranks of each, its leader first.
        """
        self._group = group = self._world.form(groups)
        self.place = self._place_in(group)
        if group.is_leader and self._leader is None:
            self._leader = self._begin_to_lead()
        if self._leader:
            self._leader.lead(group if group.is_leader else None)

    def run(self) -> None:
        """Works until told to stop; then brings to disk what this rank keeps for others."""
        ledger = self.place.ledger
        with ledger.during("wait"):
            report: Report = Ready(self._group.number)
            while (order := self._next_order(report)).kind is not OrderKind.STOP:
                report = self._carry_out(order)
            self.place.watchdog.beat(CLOSE_SECONDS)
            if self._leader:
                with ledger.during("checkpoint"):
                    self._leader.finish()
            self.place.watchdog.rest()
            if leader := self._leading:
                leader.report(Stopped(self._group.number, ledger.take(), leader.take_durable()))

    def leave(self) -> None:
        """Collective in the group; once nobody can want a state any more."""
        if self._leader:
            self._leader.leave()
        self._group.free()

    @property
    def _leading(self) -> Leader | None:
        """What this rank has as the leader of its group; None where another leads."""
        return self._leader if self._group.is_leader else None

    def _next_order(self, report: Report) -> Order:
        order: Order | None = None
        self.place.watchdog.rest()  # the coordinator owns this wait: it lasts as long as others train
        if leader := self._leading:
            leader.report(report)
            order = leader.next_order()
            leader.drop(order.drop)
        order = self._group.broadcast(order)
        assert isinstance(order, Order)
        return order

    def _carry_out(self, order: Order) -> Report:
        ledger, leader = self.place.ledger, self._leading
        self.place.watchdog.beat()
        if order.kind is OrderKind.REGROUP:
            return self._move(order.groups)
        assert order.member is not None
        began = time.monotonic()
        states = []
        with ledger.during("fetch"):
            for source in order.sources:
                state = self._obtain(source)
                if state is None:  # on all ranks alike
                    return Unobtainable(self._group.number, source.member_id, ledger.take())
                states.append(state)
        if order.kind is OrderKind.TEST:
            return self._test(order.member, states)
        with ledger.during("train"):
            parents = [Parent(state, source.genotype) for state, source in zip(states, order.sources, strict=True)]
            evaluation, state = self._train(order.member, parents)
        if leader and state is not None:
            with ledger.during("checkpoint"):
                leader.keep(order.member.id, state, own=True)
        evaluation = replace(evaluation, seconds=time.monotonic() - began, ledger=ledger.take())
        return Evaluated(self._group.number, evaluation, leader.take_durable() if leader else ())

    def _move(self, groups: tuple[tuple[int, ...], ...]) -> Report:
        """Leaves this group for another."""
        before, last_seconds = self._group, self.place.ledger.take()
        if leader := self._leading:
            leader.report(Dissolved(before.number, last_seconds))
        with self.place.ledger.during("initialise"):
            self.join(groups)
            self._evaluator.move(self.place)
            before.free()  # Horovod has let go of it
        return Ready(self._group.number)

    def _obtain(self, source: Source) -> State | None:
        """A state on every rank: from this group's memory, from another group's, or from disk; else None."""
        leader = self._leading
        return self._group.share(source.member_id, leader.obtain(source) if leader else None)

    def _train(self, member: Member, parents: Sequence[Parent]) -> tuple[Evaluation, State | None]:
        result: Result | None = None
        failure: Failure | None = None
        try:
            parent = self._combine(member, parents)
            result = self._evaluator.train(member, self._configure(member.genotype), parent)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (a member's failure is data; user code may call exit())
            self._evaluator.release()
            failure = _failure(error)
            self._log(member, f"{failure.message}\n{failure.log}")
        message, log, status = _first_cause(self._group.gather(failure))
        if message:
            self._evaluator.restart()
        metrics = {name: float(value) for name, value in result.metrics.items()} if result and not message else {}
        values = tuple(metrics.get(name, math.nan) for name in self._objectives)
        if not message and (message := self._complaint(metrics)):
            status = Status.FAILED
        state = result.state if result and status is Status.OK else None
        evaluation = Evaluation(
            member_id=member.id,
            fom=values[0],
            status=status,
            metrics={name: value for name, value in metrics.items() if math.isfinite(value)},
            ranks=self.place.inner_size,
            checksum=state.checksum if state is not None else None,
            message=message,
            log=log,
            objectives=values if len(values) > 1 else (),
        )
        return evaluation, state

    def _complaint(self, metrics: Mapping[str, float]) -> str:
        """What is wrong with the objectives among a member's metrics; "" where nothing is."""
        for name in self._objectives:
            if name not in metrics:
                return f"objective.name={name} was not reported; reported: {', '.join(metrics) or 'nothing'}"
            if not math.isfinite(metrics[name]):
                return f"the objective {name} is {metrics[name]}"
        return ""

    def _combine(self, member: Member, parents: Sequence[Parent]) -> State | None:
        """The state that the member begins with; None: fresh."""
        # Every rank draws alike and makes its own: no second broadcast.
        return inherit(member.inheritance, rng_for(self._seed, member.id), member.genotype, parents)

    def _test(self, best: Member, states: Sequence[State]) -> Tested:
        metrics = self._evaluator.test(best, self._configure(best.genotype), states[0] if states else None)
        finite = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
        return Tested(self._group.number, finite, self.place.ledger.take())

    def _log(self, member: Member, text: str) -> None:
        with open(self._log_path, "a", encoding="utf-8") as file:
            file.write(f"member {member.id}, genotype {member.genotype}, world rank {self._world.rank_id}\n{text}\n")


def _failure(error: BaseException) -> Failure:
    """What a rank tells the others of its group."""
    is_ours = isinstance(error, MemberFailed | SettingError)
    lines = str(error).splitlines()[1:] if is_ours else traceback.format_exception(error)
    return Failure(
        echo=isinstance(error, PartnerLost),  # what a rank sees because its partner failed
        message=_printable(f"{type(error).__name__}: {error}".splitlines()[0]),
        log=_printable(("\n" if is_ours else "").join(lines)),
        status=Status.TIMEOUT if isinstance(error, TimeoutError) else Status.FAILED,
    )


def _printable(text: str) -> str:
    """A trace-back may quote names of files that are no UTF-8, which no message takes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _first_cause(failures: list[Failure | None]) -> tuple[str, str, Status]:
    """Message, explanation and status of the rank that failed by itself, lowest first; "" and OK where none failed."""
    failed = [(failure.echo, rank, failure) for rank, failure in enumerate(failures) if failure]
    if not failed:
        return "", "", Status.OK
    _, inner_rank, failure = min(failed, key=lambda item: item[:2])
    return f"{failure.message} (inner rank {inner_rank})", failure.log, failure.status
