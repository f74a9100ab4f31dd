"""The loop of a group: an order comes in, a member is trained, its evaluation goes out."""

from __future__ import annotations

import math
import queue
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from nestedga.errors import SettingError
from nestedga.evaluators.base import Evaluator, Result
from nestedga.member import Evaluation, Genotype, Member, Status
from nestedga.messages import Durable, Evaluated, Holding, Order, Ready, Report, Stopped, Task, Tested
from nestedga.place import Place, Settings
from nestedga.state import State
from nestedga.weights_crossover import WEIGHTS_CROSSOVERS


class GroupComm(Protocol):
    """Collectives of the group; every rank calls them together. Waits sleep."""

    def broadcast(self, value: Any) -> Any: ...

    def gather(self, value: Any) -> list[Any]: ...

    def share(self, state: State | None) -> State | None: ...


class Leader(Protocol):
    """What only the group's leader has: mail with the coordinator, and states in memory."""

    def next_order(self) -> Order: ...

    def report(self, report: Report) -> None: ...

    def put(self, member_id: int, state: State) -> None: ...

    def get(self, member_id: int) -> State | None: ...

    def drop(self, member_ids: tuple[int, ...]) -> None: ...

    def fetch(self, member_id: int, holders: tuple[int, ...]) -> State | None: ...


class StateWriter:
    """Writes states to disk in the background and tells the coordinator when one is durable.

    States dropped before their turn are skipped: a slow disk never holds up training. An exception in the thread ends
    the job (``threading.excepthook`` in ``__main__``).
    """

    def __init__(self, path_of: Callable[[int], Path], leader: Leader) -> None:
        self._path_of = path_of
        self._leader = leader
        self._queue: queue.Queue[int | None] = queue.Queue()
        self._thread = threading.Thread(target=self._write, name="state writer", daemon=True)
        self._thread.start()

    def submit(self, member_id: int) -> None:
        self._queue.put(member_id)

    def close(self) -> None:
        """Returns when all that is still wanted is durable."""
        self._queue.put(None)
        self._thread.join()

    def _write(self) -> None:
        while (member_id := self._queue.get()) is not None:
            if (state := self._leader.get(member_id)) is None:
                continue
            path = self._path_of(member_id)
            try:
                state.save(path)
            except OSError as error:
                raise SettingError(
                    f"run.dir: {path} cannot be written ({error.strerror}); resume=true goes on"
                ) from error
            self._leader.report(Durable(member_id))


class Worker:
    """One rank of a group.

    Args:
        comm: the group's collectives.
        leader: on the group's first rank, else None.
        evaluator: trains members; opened already.
        place: where this rank stands.
        configure: a genotype's settings: the base configuration with the genotype applied.
        seed: of the draws that combine two states.
        objectives: names of the metrics that are searched for, the FoM first.
        state_path: the file of a member's state.
        log_path: where this rank writes trace-backs of failed members.
        world_rank: for messages.
    """

    def __init__(
        self,
        comm: GroupComm,
        leader: Leader | None,
        evaluator: Evaluator,
        place: Place,
        configure: Callable[[Genotype], Settings],
        *,
        seed: int,
        objectives: tuple[str, ...],
        state_path: Callable[[int], Path],
        log_path: Path,
        world_rank: int,
    ) -> None:
        self._comm = comm
        self._leader = leader
        self._evaluator = evaluator
        self._place = place
        self._configure = configure
        self._seed = seed
        self._objectives = objectives
        self._state_path = state_path
        self._log_path = log_path
        self._world_rank = world_rank

    def run(self) -> None:
        """Works until told to stop. What is neither training, evaluation nor waiting is charged to exchange."""
        writer = StateWriter(self._state_path, self._leader) if self._leader else None
        with self._place.ledger.during("exchange"):
            report: Report = Ready(self._place.group)
            while (order := self._next_order(report)).task is not Task.STOP:
                report = self._carry_out(order, writer)
            if self._leader and writer:
                writer.close()
                self._leader.report(Stopped(self._place.group, self._place.ledger.take()))

    def _carry_out(self, order: Order, writer: StateWriter | None) -> Report:
        assert order.member is not None
        self._place.watchdog.beat()
        began = time.monotonic()
        states = tuple(self._obtain(member_id, holders) for member_id, holders in order.sources)
        if order.task is Task.TEST:
            return self._test(order.member, states)
        evaluation, state = self._train(order.member, states, began)
        if self._leader and writer and state is not None:
            self._leader.put(order.member.id, state)
            writer.submit(order.member.id)
        return Evaluated(self._place.group, evaluation)

    def _next_order(self, report: Report) -> Order:
        order: Order | None = None
        self._place.watchdog.rest()  # the coordinator owns this wait: it lasts as long as others train
        with self._place.ledger.during("wait"):
            if self._leader:
                self._leader.report(report)
                order = self._leader.next_order()
                self._leader.drop(order.drop)
            order = self._comm.broadcast(order)
        assert isinstance(order, Order)
        return order

    def _obtain(self, member_id: int, holders: tuple[int, ...]) -> State:
        """A state on every rank: from this group's memory, from another group's, or from disk."""
        state = None
        if self._leader:
            state = self._leader.get(member_id)
            if state is None:
                state = self._leader.fetch(member_id, holders) or State.load(self._state_path(member_id))
                if state is not None:
                    self._leader.put(member_id, state)
                    self._leader.report(Holding(self._place.group, member_id))
        state = self._comm.share(state)
        if state is None:
            raise RuntimeError(
                f"the state of member {member_id} came neither from groups {list(holders)} nor intact from "
                f"{self._state_path(member_id)}; resume=true trains it again"
            )
        return state

    def _train(self, member: Member, parents: tuple[State, ...], began: float) -> tuple[Evaluation, State | None]:
        result: Result | None = None
        failure: tuple[bool, str, str] | None = None
        try:
            parent = self._combine(member, parents)
            result = self._evaluator.train(member, self._configure(member.genotype), parent)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (a member's failure is data; user code may call exit())
            self._evaluator.release()
            failure = (
                _is_echo(error),
                f"{type(error).__name__}: {error}".splitlines()[0],
                traceback.format_exc(),
            )
            self._log(member, failure[2])
        failures = self._comm.gather(failure)
        message, log = _first_cause(failures)
        if message:
            self._evaluator.restart()
        metrics = result.metrics if result and not message else {}
        values = tuple(metrics.get(name, math.nan) for name in self._objectives)
        message = message or self._complaint(metrics)
        status = Status.FAILED if message else Status.OK
        state = result.state if result and status is Status.OK else None
        evaluation = Evaluation(
            member_id=member.id,
            fom=values[0],
            status=status,
            metrics={name: value for name, value in metrics.items() if math.isfinite(value)},
            seconds=time.monotonic() - began,
            ledger=self._place.ledger.take(),
            ranks=self._place.inner_size,
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
        return Tested(self._place.group, metrics, self._place.ledger.take())

    def _log(self, member: Member, text: str) -> None:
        with open(self._log_path, "a") as file:
            file.write(f"member {member.id}, genotype {member.genotype}, world rank {self._world_rank}\n{text}\n")


def _is_echo(error: BaseException) -> bool:
    """True for what a rank sees because its partner failed."""
    return type(error).__name__ == "HorovodInternalError"


def _first_cause(failures: list[object]) -> tuple[str, str]:
    """Message and trace-back of the rank that failed by itself, lowest first; ("", "") where nobody failed."""
    failed = [(failure[0], rank, failure) for rank, failure in enumerate(failures) if isinstance(failure, tuple)]
    if not failed:
        return "", ""
    _, inner_rank, (_, message, log) = min(failed, key=lambda item: item[:2])
    return f"{message} (inner rank {inner_rank})", log
