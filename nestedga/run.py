"""One job on all ranks: the split, the coordinator's thread, the groups' loops."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from nestedga.comm.collectives import Collectives, Leader
from nestedga.comm.exchange import Channel
from nestedga.comm.groups import Groups, agree, decide, meet, split
from nestedga.comm.lifeline import Lifeline
from nestedga.comm.states import StateStore
from nestedga.config import Configuration
from nestedga.coordinator import serve
from nestedga.ledger import Ledger
from nestedga.place import Place
from nestedga.plan import Plan, make_plan
from nestedga.run_folder import RunFolder, choose_folder
from nestedga.search_process import SearchProcess
from nestedga.watchdog import Watchdog
from nestedga.worker import Worker

if TYPE_CHECKING:
    from mpi4py import MPI


def run_job(
    world: MPI.Comm,
    lifeline: Lifeline,
    configuration: Configuration,
    job: int | None,
    search_process: SearchProcess | None,
) -> int:
    """Runs one job on all ranks; collective. Gives the exit code.

    Args:
        world: all ranks.
        lifeline: how a rank that hangs ends the job.
        configuration: the job's.
        job: number in a multirun, else None.
        search_process: on world rank 0, where a slow search needs one.

    Raises:
        SettingError: on every rank alike.
    """
    ledger = Ledger("initialise")
    plan = agree(world, lambda: make_plan(configuration, world.Get_size()))
    held: list[RunFolder] = []  # world rank 0's, with the lock that goes with it
    path = decide(world, lambda: _take_folder(configuration, job, held))
    if path is None:
        return 0  # this job of a resumed multirun is complete already
    folder = RunFolder(path)
    watchdog = Watchdog(
        plan.settings["run"]["stall_seconds"], lambda: lifeline.end_job(1), f"world rank {world.Get_rank()}"
    )
    with split(world, plan.layout) as groups:
        place = Place(
            comm=groups.training,
            group=groups.group,
            inner_rank=groups.inner_rank,
            inner_size=groups.inner_size,
            node_rank=groups.node_rank,
            ledger=ledger,
            watchdog=watchdog,
        )
        agree(world, lambda: plan.evaluator.open(place, plan.settings))
        status = _work(groups, plan, configuration, folder, place, search_process)
        plan.evaluator.close()
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


def _work(
    groups: Groups,
    plan: Plan,
    configuration: Configuration,
    folder: RunFolder,
    place: Place,
    search_process: SearchProcess | None,
) -> int:
    """This rank's part from the first order to the summary; gives the exit code."""
    world = groups.world
    desk = None
    if groups.world_rank == 0:
        from nestedga.desk import Desk  # the displays' packages: 30 MB that the other ranks need not hold

        desk = Desk(folder, configuration, plan, search_process)
    decide(world, lambda: desk.open() if desk else None)
    with contextlib.ExitStack() as stack:
        leader = None
        if groups.outer is not None and groups.control is not None:
            leader = Leader(Channel(groups.control), stack.enter_context(StateStore(groups.outer)))
            if desk:
                coordinator = threading.Thread(target=serve, args=(desk.coordinator, Channel(groups.control)))
                coordinator.start()
                stack.callback(coordinator.join)
        Worker(
            Collectives(groups.inner),
            leader,
            plan.evaluator,
            place,
            configuration.with_genotype(plan.space),
            seed=plan.settings["seed"],
            objectives=plan.objectives.names,
            state_path=folder.state,
            log_path=folder.logs / f"rank_{groups.world_rank:04d}.log",
            world_rank=groups.world_rank,
        ).run()
        if leader:
            leader.flush()
        meet(world)  # states are served until nobody can want one any more
    return int(decide(world, lambda: desk.close() if desk else 0))
