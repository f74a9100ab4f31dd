"""The loop of a group: an order comes in, a member is trained, its evaluation goes out."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from nestedga.errors import MemberFailed, SettingError
from nestedga.evaluators.base import Evaluator, Result
from nestedga.population.member import Evaluation, Genotype, Member, Status
from nestedga.protocol.messages import Dissolved, Evaluated, Order, OrderKind, Ready, Report, Source, Stopped, Tested
from nestedga.rank.place import Place, Settings
from nestedga.states.state import State
from nestedga.states.weights_crossover import WEIGHTS_CROSSOVERS


class GroupComm(Protocol):
    """Collectives of the group; every rank calls them together. Waits sleep."""

    def broadcast(self, value: Any) -> Any: ...

    def gather(self, value: Any) -> list[Any]: ...

    def share(self, state: State | None) -> State | None: ...

    def free(self) -> None: ...


class Leader(Protocol):
    """What only the group's leader has: mail with the coordinator, and states."""

    def next_order(self) -> Order: ...

    def report(self, report: Report) -> None: ...

    def obtain(self, source: Source) -> State | None: ...

    def keep(self, member_id: int, state: State, *, own: bool) -> None: ...

    def drop(self, member_ids: tuple[int, ...]) -> None: ...

    def take_durable(self) -> tuple[int, ...]: ...

    def finish(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Seat:
    """A rank's part in a group.

    Attributes:
        comm: the group's collectives.
        leader: on the group's first rank, else None.
        place: where this rank stands.
    """

    comm: GroupComm
    leader: Leader | None
    place: Place


class Worker:
    """One rank of a group.

    Args:
        seat: its part in the first group.
        regroup: joins the one of these groups that takes this rank; gives the part in it.
        evaluator: trains members; opened already.
        configure: a genotype's settings: the base configuration with the genotype applied.
        seed: of the draws that combine two states.
        objectives: names of the metrics that are searched for, the FoM first.
        state_path: the file of a member's state.
        log_path: where this rank writes why members failed.
        world_rank: for messages.
    """

    def __init__(
        self,
        seat: Seat,
        regroup: Callable[[tuple[tuple[int, ...], ...]], Seat],
        evaluator: Evaluator,
        configure: Callable[[Genotype], Settings],
        *,
        seed: int,
        objectives: tuple[str, ...],
        state_path: Callable[[int], Path],
        log_path: Path,
        world_rank: int,
    ) -> None:
        self._seat = seat
        self._regroup = regroup
        self._evaluator = evaluator
        self._configure = configure
        self._seed = seed
        self._objectives = objectives
        self._state_path = state_path
        self._log_path = log_path
        self._world_rank = world_rank

    def run(self) -> None:
        """Works until told to stop."""
        with self._seat.place.ledger.during("wait"):
            report: Report = Ready(self._group)
            while (order := self._next_order(report)).kind is not OrderKind.STOP:
                report = self._carry_out(order)
            if leader := self._seat.leader:
                with self._seat.place.ledger.during("checkpoint"):
                    leader.finish()
                leader.report(Stopped(self._group, self._seat.place.ledger.take(), leader.take_durable()))

    @property
    def _group(self) -> int:
        return self._seat.place.group

    def _next_order(self, report: Report) -> Order:
        order: Order | None = None
        self._seat.place.watchdog.rest()  # the coordinator owns this wait: it lasts as long as others train
        if leader := self._seat.leader:
            leader.report(report)
            order = leader.next_order()
            leader.drop(order.drop)
        order = self._seat.comm.broadcast(order)
        assert isinstance(order, Order)
        return order

    def _carry_out(self, order: Order) -> Report:
        place, leader = self._seat.place, self._seat.leader
        place.watchdog.beat()
        if order.kind is OrderKind.REGROUP:
            return self._move(order.groups)
        assert order.member is not None
        began = time.monotonic()
        with place.ledger.during("fetch"):
            states = tuple(self._obtain(source) for source in order.sources)
        if order.kind is OrderKind.TEST:
            return self._test(order.member, states)
        with place.ledger.during("train"):
            evaluation, state = self._train(order.member, states)
        if leader and state is not None:
            with place.ledger.during("checkpoint"):
                leader.keep(order.member.id, state, own=True)
        evaluation = replace(evaluation, seconds=time.monotonic() - began, ledger=place.ledger.take())
        return Evaluated(self._group, evaluation, leader.take_durable() if leader else ())

    def _move(self, groups: tuple[tuple[int, ...], ...]) -> Report:
        """Leaves this group for another."""
        last_seconds = self._seat.place.ledger.take()
        if self._seat.leader:
            self._seat.leader.report(Dissolved(self._group, last_seconds))
        with self._seat.place.ledger.during("initialise"):
            before, self._seat = self._seat, self._regroup(groups)
            self._evaluator.move(self._seat.place)
            before.comm.free()  # Horovod has let go of it
        return Ready(self._group)

    def _obtain(self, source: Source) -> State:
        """A state on every rank: from this group's memory, from another group's, or from disk."""
        state = None
        if leader := self._seat.leader:
            state = leader.obtain(source)
            if state is None and (state := State.load(self._state_path(source.member_id))) is not None:
                leader.keep(source.member_id, state, own=False)
        state = self._seat.comm.share(state)
        if state is None:
            raise RuntimeError(
                f"the state of member {source.member_id} came neither from world ranks {list(source.holders)} nor "
                f"intact from {self._state_path(source.member_id)}; resume=true trains it again"
            )
        return state

    def _train(self, member: Member, parents: tuple[State, ...]) -> tuple[Evaluation, State | None]:
        result: Result | None = None
        failure: tuple[bool, str, str, Status] | None = None
        try:
            parent = self._combine(member, parents)
            result = self._evaluator.train(member, self._configure(member.genotype), parent)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (a member's failure is data; user code may call exit())
            self._evaluator.release()
            failure = (
                _is_echo(error),
                f"{type(error).__name__}: {error}".splitlines()[0],
                _explanation(error),
                Status.TIMEOUT if isinstance(error, TimeoutError) else Status.FAILED,
            )
            self._log(member, f"{failure[1]}\n{failure[2]}")
        failures = self._seat.comm.gather(failure)
        message, log, status = _first_cause(failures)
        if message:
            self._evaluator.restart()
        metrics = result.metrics if result and not message else {}
        values = tuple(metrics.get(name, math.nan) for name in self._objectives)
        if not message and (message := self._complaint(metrics)):
            status = Status.FAILED
        state = result.state if result and status is Status.OK else None
        evaluation = Evaluation(
            member_id=member.id,
            fom=values[0],
            status=status,
            metrics={name: float(value) for name, value in metrics.items() if math.isfinite(value)},
            ranks=self._seat.place.inner_size,
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

    def _combine(self, member: Member, parents: tuple[State, ...]) -> State | None:
        """The state that the member begins with; None: fresh."""
        if member.weights_crossover is None:
            return parents[0] if parents else None
        # Every rank draws alike and makes its own: no second broadcast.
        rng = np.random.default_rng([self._seed, member.id])
        return WEIGHTS_CROSSOVERS[member.weights_crossover](rng, *parents)

    def _test(self, best: Member, states: tuple[State, ...]) -> Tested:
        metrics = self._evaluator.test(best, self._configure(best.genotype), states[0] if states else None)
        finite = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
        return Tested(self._group, finite, self._seat.place.ledger.take())

    def _log(self, member: Member, text: str) -> None:
        # A trace-back may quote names of files that are no UTF-8.
        with open(self._log_path, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"member {member.id}, genotype {member.genotype}, world rank {self._world_rank}\n{text}\n")


def _explanation(error: BaseException) -> str:
    """What is worth reading beside the message."""
    if isinstance(error, MemberFailed | SettingError):
        return "\n".join(str(error).splitlines()[1:])
    return "".join(traceback.format_exception(error))


def _is_echo(error: BaseException) -> bool:
    """True for what a rank sees because its partner failed."""
    return type(error).__name__ == "HorovodInternalError"


def _first_cause(failures: list[object]) -> tuple[str, str, Status]:
    """Message, explanation and status of the rank that failed by itself, lowest first; "" and OK where none failed."""
    failed = [(failure[0], rank, failure) for rank, failure in enumerate(failures) if isinstance(failure, tuple)]
    if not failed:
        return "", "", Status.OK
    _, inner_rank, (_, message, log, status) = min(failed, key=lambda item: item[:2])
    return f"{message} (inner rank {inner_rank})", log, status
