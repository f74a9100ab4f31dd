"""One job on all ranks: the split, the coordinator's thread, the groups' loops."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from nestedga.comm.collectives import Collectives, Leader
from nestedga.comm.exchange import Channel
from nestedga.comm.groups import Group, World, agree, decide, meet
from nestedga.comm.lifeline import Lifeline
from nestedga.comm.waiting import gather_all
from nestedga.coordination.migration import Migration
from nestedga.coordination.serve import serve
from nestedga.coordination.thinker import Thinker
from nestedga.job.configuration import Configuration
from nestedga.job.plan import Plan, make_plan
from nestedga.job.thinking import make_thinker
from nestedga.job.worker import Seat, Worker
from nestedga.rank.ledger import Ledger
from nestedga.rank.place import Place
from nestedga.rank.watchdog import Watchdog
from nestedga.record.run_folder import PartFolder, RunFolder, check_same, choose_folder, write_beside
from nestedga.states.limits import StateLimits

if TYPE_CHECKING:
    from mpi4py import MPI


def run_job(
    comm: MPI.Intracomm,
    lifeline: Lifeline,
    configuration: Configuration,
    job: int | None,
) -> int:
    """Runs one job on all ranks; collective. Gives the exit code.

    Args:
        comm: all ranks.
        lifeline: how a rank that hangs ends the job.
        configuration: the job's.
        job: number in a multirun, else None.

    Raises:
        SettingError: on every rank alike.
    """
    meet(comm)  # so that all ledgers begin together
    began, ledger = time.monotonic(), Ledger("initialise")
    plan = agree(comm, lambda: make_plan(configuration, comm.Get_size(), comm.Get_rank()))
    held: list[RunFolder] = []  # world rank 0's, with the lock that goes with it
    path = decide(comm, lambda: _take_folder(configuration, len(plan.parts), job, held))
    if path is None:
        return 0  # complete already
    folder = RunFolder(path)
    # On the coordinators' ranks; a process of its own starts while data are opened.
    thinker = make_thinker(plan) if comm.Get_rank() == plan.layout.first else None
    watchdog = Watchdog(
        plan.settings["run"]["stall_seconds"], lambda: lifeline.end_job(1), f"world rank {comm.Get_rank()}"
    )
    world = World(comm)
    limits = agree(comm, lambda: StateLimits.from_config(plan.settings["states"], world.node_size))
    seats = Seats(world, ledger, watchdog, plan.layout.first, _part_of(folder, plan), limits)
    seat = seats.take(plan.layout.groups)
    agree(comm, lambda: _open(plan, seat))
    status = _work(world, seats, seat, plan, folder, thinker, began)
    plan.evaluator.close()
    seats.close()
    world.close()
    return status


def _take_folder(configuration: Configuration, num_parts: int, job: int | None, held: list[RunFolder]) -> Path | None:
    """Chosen and locked by world rank 0 for all: a time-stamp taken by each rank would differ."""
    run = configuration.settings.run
    folder = choose_folder(configuration.experiment, run.dir, configuration.settings.resume, job)
    if folder is None:
        return None
    folder.lock()
    held.append(folder)
    if folder.has_run:
        folder.check_untouched()
        check_same(configuration.plain(), folder)
    elif num_parts > 1:
        write_beside(folder.config, configuration.yaml())  # besides, each part has its own
    for part in range(num_parts):
        (PartFolder(folder, part) if num_parts > 1 else folder).make()
    return folder.path


def _open(plan: Plan, seat: Seat) -> None:
    plan.evaluator.open(seat.place, plan.settings)
    plan.check_ends()


def _part_of(folder: RunFolder, plan: Plan) -> RunFolder:
    """Where this rank's part of the world writes."""
    return folder if plan.part is None else PartFolder(folder, plan.part)


class Seats:
    """Gives this rank its part in one group after another, and keeps what outlives a group.

    Args:
        world: all ranks.
        ledger: of this rank.
        watchdog: of this rank.
        coordinator: world rank of the coordinator of this part of the world.
        folder: of the part.
        limits: of the states that this rank keeps while it leads, and after.
    """

    def __init__(
        self,
        world: World,
        ledger: Ledger,
        watchdog: Watchdog,
        coordinator: int,
        folder: RunFolder,
        limits: StateLimits,
    ) -> None:
        self._world = world
        self._ledger = ledger
        self._watchdog = watchdog
        self._coordinator = coordinator
        self._folder = folder
        self._limits = limits
        self._leader: Leader | None = None
        self._group: Group

    def take(self, groups: Iterable[tuple[int, ...]]) -> Seat:
        """The part in the one of these groups that has this rank."""
        self._group = group = self._world.form(groups)
        if self._leader:
            self._leader.lead(group.is_leader)
        elif group.is_leader:
            self._leader = Leader(self._world, self._coordinator, self._folder.state, self._limits)
        place = Place(
            comm=group.training,
            group=group.number,
            inner_rank=group.inner_rank,
            inner_size=len(group.ranks),
            node_rank=self._world.node_rank,
            ledger=self._ledger,
            watchdog=self._watchdog,
            logs=self._folder.logs,
        )
        return Seat(Collectives(group), self._leader if group.is_leader else None, place)

    def finish(self) -> None:
        """Returns when all states that this rank still keeps for others are on disk, though it may lead no more."""
        if self._leader:
            self._leader.finish()

    def close(self) -> None:
        """Collective; once nobody can want a state any more."""
        if self._leader:
            self._leader.leave()
        self._group.free()


def _work(
    world: World,
    seats: Seats,
    seat: Seat,
    plan: Plan,
    run_folder: RunFolder,
    thinker: Thinker | None,
    began: float,
) -> int:
    """This rank's part from the first order to the summary; gives the exit code."""
    folder = _part_of(run_folder, plan)
    desk = None
    channel = Channel(world.control, plan.layout.first)
    if thinker:
        from nestedga.job.head import Desk  # the displays' packages: 30 MB that the other ranks need not hold

        desk = Desk(folder, plan, thinker, world.nodes, _migration(plan, run_folder, channel), began)
    agree(world.comm, lambda: desk.open() if desk else None)
    coordinator = None
    if desk:
        coordinator = threading.Thread(target=serve, args=(desk.coordinator, channel, desk.displays.show))
        coordinator.start()
    Worker(
        seat,
        seats.take,
        plan.evaluator,
        plan.configuration.with_genotype(plan.space),
        seed=plan.settings["seed"],
        objectives=plan.objectives.names,
        state_path=folder.state,
        log_path=folder.logs / f"rank_{world.rank:04d}.log",
        world_rank=world.rank,
    ).run()
    seats.finish()
    if coordinator:
        coordinator.join()
    # Agreed only when all have ended: states are served until nobody can want one any more.
    failed = agree(world.comm, lambda: desk.close() if desk else True)
    everywhere = gather_all(world.comm, failed, math.inf, "all parts")
    if plan.part is not None:
        decide(world.comm, lambda: _join(run_folder))
    return int(all(everywhere))


def _migration(plan: Plan, run_folder: RunFolder, channel: Channel) -> Migration | None:
    """Of a coordinator's part with the others."""
    if plan.part is None:
        return None
    section = plan.settings["coordinator"]
    return Migration(
        plan.part,
        len(plan.parts),
        interval=section["migration_interval"],
        topology=section["topology"],
        seed=plan.settings["seed"],
        files=PartFolder(run_folder, plan.part),
        post=lambda part, letter: channel.write(plan.parts[part].first, letter),
    )


def _join(folder: RunFolder) -> None:
    """Puts the parts' summaries together."""
    from nestedga.report.parts import conclude  # as the desk's

    conclude(folder)
