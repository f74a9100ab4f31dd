"""One job on all ranks: the split, the coordinator's thread, the groups' loops."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from nestedga.comm.collectives import Collectives, Leader
from nestedga.comm.exchange import Channel
from nestedga.comm.groups import Group, World, agree, decide, meet
from nestedga.comm.lifeline import Lifeline
from nestedga.config import Configuration
from nestedga.coordinator import serve
from nestedga.ledger import Ledger
from nestedga.place import Place
from nestedga.plan import Plan, make_plan
from nestedga.run_folder import RunFolder, choose_folder
from nestedga.search_process import SearchProcess
from nestedga.state_limits import StateLimits
from nestedga.watchdog import Watchdog
from nestedga.worker import Seat, Worker

if TYPE_CHECKING:
    from mpi4py import MPI


def run_job(
    comm: MPI.Intracomm,
    lifeline: Lifeline,
    configuration: Configuration,
    job: int | None,
    search_process: SearchProcess | None,
) -> int:
    """Runs one job on all ranks; collective. Gives the exit code.

    Args:
        comm: all ranks.
        lifeline: how a rank that hangs ends the job.
        configuration: the job's.
        job: number in a multirun, else None.
        search_process: on world rank 0, where a slow search needs one.

    Raises:
        SettingError: on every rank alike.
    """
    meet(comm)  # so that all ledgers begin together
    began, ledger = time.monotonic(), Ledger("initialise")
    plan = agree(comm, lambda: make_plan(configuration, comm.Get_size()))
    held: list[RunFolder] = []  # world rank 0's, with the lock that goes with it
    path = decide(comm, lambda: _take_folder(configuration, job, held))
    if path is None:
        return 0  # this job of a resumed multirun is complete already
    folder = RunFolder(path)
    watchdog = Watchdog(
        plan.settings["run"]["stall_seconds"], lambda: lifeline.end_job(1), f"world rank {comm.Get_rank()}"
    )
    world = World(comm)
    limits = agree(comm, lambda: StateLimits.from_config(plan.settings["states"], world.node_size))
    seats = Seats(world, ledger, watchdog, folder, limits)
    seat = seats.take(plan.layout.groups)
    agree(comm, lambda: plan.evaluator.open(seat.place, plan.settings))
    status = _work(world, seats, seat, plan, configuration, folder, search_process, began)
    plan.evaluator.close()
    seats.close()
    world.close()
    return status


def _take_folder(configuration: Configuration, job: int | None, held: list[RunFolder]) -> Path | None:
    """Chosen and locked by world rank 0 for all: a time-stamp taken by each rank would differ."""
    run = configuration.settings.run
    folder = choose_folder(configuration.experiment, run.dir, configuration.settings.resume, job)
    if folder is None:
        return None
    folder.lock()
    held.append(folder)
    return folder.path


class Seats:
    """Gives this rank its part in one group after another, and keeps what outlives a group.

    Args:
        world: all ranks.
        ledger: of this rank.
        watchdog: of this rank.
        folder: of the run.
        limits: of the states that this rank keeps while it leads, and after.
    """

    def __init__(
        self, world: World, ledger: Ledger, watchdog: Watchdog, folder: RunFolder, limits: StateLimits
    ) -> None:
        self._world = world
        self._ledger = ledger
        self._watchdog = watchdog
        self._folder = folder
        self._limits = limits
        self._leader: Leader | None = None
        self._group: Group

    def take(self, groups: Iterable[tuple[int, ...]]) -> Seat:
        """The part in the one of these groups that has this rank."""
        self._group = group = self._world.form(groups)
        if group.is_leader and self._leader is None:
            self._leader = Leader(self._world, self._folder.state, self._limits)
        place = Place(
            comm=group.training,
            group=group.number,
            inner_rank=group.inner_rank,
            inner_size=len(group.ranks),
            node_rank=self._world.node_rank,
            ledger=self._ledger,
            watchdog=self._watchdog,
        )
        return Seat(Collectives(group), self._leader if group.is_leader else None, place)

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
    configuration: Configuration,
    folder: RunFolder,
    search_process: SearchProcess | None,
    began: float,
) -> int:
    """This rank's part from the first order to the summary; gives the exit code."""
    desk = None
    if world.rank == 0:
        from nestedga.desk import Desk  # the displays' packages: 30 MB that the other ranks need not hold

        desk = Desk(folder, configuration, plan, search_process, world.nodes, began)
    decide(world.comm, lambda: desk.open() if desk else None)
    coordinator = None
    if desk:
        coordinator = threading.Thread(
            target=serve, args=(desk.coordinator, Channel(world.control), desk.displays.show)
        )
        coordinator.start()
    Worker(
        seat,
        seats.take,
        plan.evaluator,
        configuration.with_genotype(plan.space),
        seed=plan.settings["seed"],
        objectives=plan.objectives.names,
        state_path=folder.state,
        log_path=folder.logs / f"rank_{world.rank:04d}.log",
        world_rank=world.rank,
    ).run()
    if coordinator:
        coordinator.join()
    meet(world.comm)  # states are served until nobody can want one any more
    return int(decide(world.comm, lambda: desk.close() if desk else 0))
