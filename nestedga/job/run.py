"""One job on all ranks: the split, the coordinator's thread, the groups' loops."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from nestedga.comm.agreement import agree, decide, meet
from nestedga.comm.exchange import Channel
from nestedga.comm.group import Group
from nestedga.comm.leader import Leader
from nestedga.comm.lifeline import Lifeline
from nestedga.comm.world import World
from nestedga.coordination.migration import Migration
from nestedga.coordination.serve import serve
from nestedga.coordination.thinker import Thinker
from nestedga.job.configuration import Configuration
from nestedga.job.plan import Plan, make_plan
from nestedga.job.resume import check_same
from nestedga.job.thinking import make_thinker
from nestedga.job.worker import Worker
from nestedga.rank.ledger import Ledger
from nestedga.rank.place import Place
from nestedga.rank.watchdog import Watchdog
from nestedga.record.run_folder import PartFolder, RunFolder, choose_folder, write_beside
from nestedga.states.limits import StateLimits

START_SECONDS = 600.0  # which data and models may take beside run.stall_seconds until the first order


def run_job(world: World, lifeline: Lifeline, configuration: Configuration, job: int | None) -> int:
    """Runs one job on all ranks; collective. Gives the exit code.

    Args:
        world: all ranks.
        lifeline: how a rank that hangs ends the job.
        configuration: the job's.
        job: number in a multirun, else None.

    Raises:
        SettingError: on every rank alike.
    """
    meet(world)  # so that all ledgers begin together
    began, ledger = time.monotonic(), Ledger("initialise")
    plan = agree(world, lambda: make_plan(configuration, len(world.epoch.ids), world.rank_id))
    held: list[RunFolder] = []  # world rank 0's, with the lock that goes with it
    path = decide(world, lambda: _take_folder(configuration, len(plan.parts), job, held))
    if path is None:
        return 0  # complete already
    folder = RunFolder(Path(os.fsdecode(path)))
    # On the coordinators' ranks; a slow search's process of its own starts while data are opened.
    thinker = make_thinker(plan) if world.rank_id == plan.layout.first else None
    limits = agree(world, lambda: StateLimits.from_config(plan.settings.states, world.node_size))
    watchdog = Watchdog(plan.settings.run.stall_seconds, lambda: lifeline.end_job(1), f"world rank {world.rank_id}")
    worker = _make_worker(world, plan, _part_of(folder, plan), limits, ledger, watchdog)
    watchdog.beat(START_SECONDS)
    worker.join(plan.layout.groups)
    agree(world, lambda: _open(plan, worker.place))
    status = _work(world, lifeline, worker, plan, folder, thinker, began)
    plan.evaluator.close()
    worker.leave()
    watchdog.close()
    return status


def _take_folder(configuration: Configuration, num_parts: int, job: int | None, held: list[RunFolder]) -> bytes | None:
    """Chosen and locked by world rank 0 for all: a time-stamp taken by each rank would differ.

    Gives the path as the system has it, for it need not be UTF-8.
    """
    settings = configuration.settings
    folder = choose_folder(configuration.experiment, settings.run.dir, settings.resume, job)
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
    return os.fsencode(folder.path)


def _part_of(folder: RunFolder, plan: Plan) -> RunFolder:
    """Where this rank's part of the world writes."""
    return folder if plan.part is None else PartFolder(folder, plan.part)


def _make_worker(
    world: World, plan: Plan, folder: RunFolder, limits: StateLimits, ledger: Ledger, watchdog: Watchdog
) -> Worker:
    """This rank's, before it joins a group.

    Args:
        world: all ranks.
        plan: the job's.
        folder: where this rank's part of the world writes.
        limits: of the states that this rank keeps if it leads.
        ledger: of this rank.
        watchdog: of this rank.
    """

    def place_in(group: Group) -> Place:
        return Place(
            comm=group.training,
            group=group.number,
            inner_rank=group.inner_rank,
            inner_size=len(group.ranks),
            node_rank=world.node_rank,
            ledger=ledger,
            watchdog=watchdog,
            logs=folder.logs,
        )

    return Worker(
        world,
        plan.evaluator,
        plan.configure,
        place_in,
        lambda: Leader(world, plan.layout.first, folder.state, limits),
        seed=plan.settings.seed,
        objectives=plan.objectives.names,
        log_path=folder.logs / f"rank_{world.rank_id:04d}.log",
    )


def _open(plan: Plan, place: Place) -> None:
    plan.evaluator.open(place, plan.configuration.plain())
    plan.check_ends()


def _work(
    world: World,
    lifeline: Lifeline,
    worker: Worker,
    plan: Plan,
    run_folder: RunFolder,
    thinker: Thinker | None,
    began: float,
) -> int:
    """This rank's part from the first order to the summary; gives the exit code."""
    folder = _part_of(run_folder, plan)
    head = None
    channel = Channel(world, plan.layout.first)
    if thinker:
        from nestedga.job.head import Head  # the views' packages: 30 MB that the other ranks need not hold

        head = Head(folder, plan, thinker, world.epoch.nodes, _migration(plan, run_folder, channel), began)
    agree(world, lambda: head.open() if head else None)
    coordinator = None
    if head:
        watchdog = Watchdog(plan.settings.run.stall_seconds, lambda: lifeline.end_job(1), "the coordinator")
        work = (head.coordinator, channel, head.views.show, watchdog.beat)
        coordinator = threading.Thread(target=serve, args=work)
        coordinator.start()
    worker.run()
    if coordinator:
        coordinator.join()  # it ends once all its groups have stopped; should it fail or hang, the job ends
        watchdog.close()
    # Agreed only when all have ended: states are served until nobody can want one any more.
    code = agree(world, lambda: head.close() if head else None)
    codes: list[int] = [code for code in world.epoch.gather(code) if code is not None]  # one from each part
    if plan.part is not None:
        decide(world, lambda: _join(run_folder))
    return min(codes)


def _migration(plan: Plan, run_folder: RunFolder, channel: Channel) -> Migration | None:
    """Of a coordinator's part with the others."""
    if plan.part is None:
        return None
    section = plan.settings.coordinator
    return Migration(
        plan.part,
        len(plan.parts),
        interval=section.migration_interval,
        topology=section.topology,
        seed=plan.settings.seed,
        files=PartFolder(run_folder, plan.part),
        post=lambda part, letter: channel.write(plan.parts[part].first, letter),
    )


def _join(folder: RunFolder) -> None:
    """Puts the parts' summaries together."""
    from nestedga.report.parts import conclude  # as the head's

    conclude(folder)
