"""One job, wired from its configuration: checks, split, the coordinator's thread, the groups' loops, the summary."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from nestedga import __version__, journal
from nestedga.comm.collectives import Collectives, Leader
from nestedga.comm.exchange import Channel
from nestedga.comm.groups import Groups, agree, decide, library_version, meet, split
from nestedga.comm.launcher import launched_rank
from nestedga.comm.layout import Layout, split_evenly
from nestedga.comm.lifeline import Lifeline
from nestedga.comm.states import StateStore
from nestedga.config import Configuration, build
from nestedga.coordinator import Coordinator, serve
from nestedga.errors import SettingError
from nestedga.evaluators.base import Evaluator, Place
from nestedga.journal import Journal, Record
from nestedga.ledger import Ledger
from nestedga.report.history import History
from nestedga.report.progress import Bars, Lines
from nestedga.report.summary import closing, show, summarise
from nestedga.report.tensorboard import TensorBoard
from nestedga.run_folder import RunFolder, newest_unfinished, write_beside
from nestedga.search.base import Search
from nestedga.space import Space
from nestedga.watchdog import Watchdog
from nestedga.worker import Worker

if TYPE_CHECKING:
    from mpi4py import MPI

# Settings that may differ when a run goes on: none of them changes what a member's training gives.
FREE_ON_RESUME = ("resume", "run", "groups")
VERSIONED = ("torch", "horovod", "mpi4py", "numpy", "hydra-core")


@dataclass(frozen=True, slots=True)
class Plan:
    """What every rank derives from the configuration alone, before anything is opened."""

    settings: dict[str, Any]
    space: Space
    evaluator: Evaluator
    search: Search
    layout: Layout
    unit: str
    budget: int


def run_job(world: MPI.Comm, lifeline: Lifeline, configuration: Configuration, job: int | None) -> int:
    """Runs one job on all ranks; collective. Gives the exit code.

    Args:
        world: all ranks.
        lifeline: how a rank that hangs ends the job.
        configuration: the job's.
        job: number in a multirun, else None.

    Raises:
        SettingError: on every rank alike.
    """
    ledger = Ledger("initialise")
    plan = agree(world, lambda: make_plan(configuration, world.Get_size()))
    folder = decide(world, lambda: _choose_folder(configuration, job))
    if folder is None:
        return 0  # this job of a resumed multirun is complete
    lock = decide_lock(world, folder)
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
        status = _work(groups, plan, configuration, folder, place)
        plan.evaluator.close()
    del lock
    return status


def make_plan(configuration: Configuration, world_size: int) -> Plan:
    """Checks all that can be checked without opening data or files."""
    settings = configuration.plain()
    objective, interval, run = settings["objective"], settings["interval"], settings["run"]
    layout = split_evenly(world_size, **settings["groups"])
    if objective["mode"] not in ("min", "max"):
        raise SettingError(f"objective.mode={objective['mode']!r} is unknown; use min or max")
    given = [unit for unit in ("epochs", "steps") if interval[unit] is not None]
    if len(given) != 1:
        raise SettingError(
            f"interval: give epochs or steps, not {' and '.join(given) or 'neither'}; set the other to null"
        )
    unit, budget = given[0], interval[given[0]]
    if budget < 1:
        raise SettingError(f"interval.{unit}={budget} trains nothing; use 1 or more")
    for name in ("max_seconds", "stall_seconds"):
        if run[name] is not None and run[name] <= 0:
            raise SettingError(f"run.{name}={run[name]:g} must be above 0")
    evaluator = build(settings["evaluator"], build=build, seed=settings["seed"], unit=unit)
    if objective["name"] not in evaluator.metrics:
        raise SettingError(
            f"objective.name={objective['name']!r} is not reported; reported: {', '.join(evaluator.metrics)}"
        )
    space = Space.from_config(settings["space"])
    configuration.check_genes(space, evaluator.sections)
    search = build(settings["search"], space, seed=settings["seed"], budget=budget)
    return Plan(settings, space, evaluator, search, layout, unit, budget)


def _work(groups: Groups, plan: Plan, configuration: Configuration, folder: RunFolder, place: Place) -> int:
    world = groups.world
    configure = configuration.with_genotype(plan.space)

    def work(leader: Leader | None) -> None:
        Worker(
            Collectives(groups.inner),
            leader,
            plan.evaluator,
            place,
            configure,
            objective=plan.settings["objective"]["name"],
            state_path=folder.state,
            log_path=folder.logs / f"rank_{groups.world_rank:04d}.log",
            world_rank=groups.world_rank,
        ).run()

    status = 0
    if groups.world_rank == 0:
        desk = Desk(folder, configuration, plan)
        decide(world, desk.open)
        assert groups.outer is not None and groups.control is not None
        channel = Channel(groups.control)
        thread = threading.Thread(target=serve, args=(desk.coordinator, channel), name="coordinator")
        thread.start()
        with StateStore(groups.outer) as store:
            work(Leader(channel, store))
            thread.join()
            meet(world)
        status = desk.close()
    else:
        decide(world, lambda: None)
        if groups.outer is not None and groups.control is not None:
            channel = Channel(groups.control)
            with StateStore(groups.outer) as store:
                work(Leader(channel, store))
                channel.flush(60.0)
                meet(world)
        else:
            work(None)
            meet(world)
    return int(decide(world, lambda: status))


class Desk:
    """What world rank 0 alone keeps: journal, coordinator, displays, and the files of the run folder."""

    coordinator: Coordinator

    def __init__(self, folder: RunFolder, configuration: Configuration, plan: Plan) -> None:
        self._folder = folder
        self._configuration = configuration
        self._plan = plan
        self._history = History()
        # Under a launcher the output is a pipe in the end, even where it lends each rank a terminal of its own.
        self._progress = Bars() if sys.stdout.isatty() and launched_rank() is None else Lines()

    def open(self) -> None:
        """Begins a run, or goes on with one."""
        folder, plan = self._folder, self._plan
        resumed = folder.has_run
        if resumed:
            _check_same(plan.settings, yaml.safe_load(folder.config.read_text()), folder)
        else:
            write_beside(folder.config, self._configuration.yaml())
        self._tensorboard = TensorBoard(folder.tensorboard)
        self._journal = Journal(folder.journal, self._take)
        self.coordinator = Coordinator(
            plan.search,
            self._journal,
            folder,
            mode=plan.settings["objective"]["mode"],
            num_groups=plan.layout.num_groups,
            max_seconds=plan.settings["run"]["max_seconds"],
        )
        self.coordinator.replay(self._replayed(journal.read(folder.journal)))
        self._warn_of_idle_ranks()
        self._journal.record("resume" if resumed else "run", **self._header())
        self._journal.flush()

    def close(self) -> int:
        """Writes the summary and the best member; gives the exit code."""
        folder, history = self._folder, self._history
        self._journal.close()
        self._tensorboard.close()
        self._progress.close()
        write_beside(folder.summary, json.dumps(summarise(history), indent=2, allow_nan=False) + "\n")
        best = self.coordinator.best
        if best is not None:
            settings = self._configuration.with_genotype(self._plan.space)(best.genotype)
            write_beside(folder.best / "config.yaml", yaml.safe_dump(settings, sort_keys=False))
            write_beside(
                folder.best / "overrides.txt",
                "".join(f"{path}={value}\n" for path, value in best.genotype.items()),
            )
            if folder.state(best.id).exists():
                shutil.copyfile(folder.state(best.id), folder.best / "state.safetensors")
        show(closing(history, folder))
        if best is None:
            print(
                "nestedga: no member succeeded; the first trace-back stands above, all in logs/",
                file=sys.stderr,
                flush=True,
            )
        return 0 if best is not None else 1

    def _warn_of_idle_ranks(self) -> None:
        pieces, sizes = self._plan.settings["data"].get("micro_batches"), self._plan.layout.sizes
        if pieces and (idle := sum(max(0, size - pieces) for size in sizes)):
            print(
                f"nestedga: {idle} of {sum(sizes)} ranks have no share in data.micro_batches={pieces}; "
                f"with data.micro_batches={max(sizes)} every rank has one (another cut, so another result)",
                flush=True,
            )

    def _take(self, record: Record) -> None:
        self._history.take(record)
        self._tensorboard.take(record)
        self._progress.take(record)

    def _replayed(self, records: Iterable[Record]) -> Iterable[Record]:
        """Earlier records on their way to the coordinator, shown to the displays in passing."""
        for record in records:
            self._history.take(record)
            self._tensorboard.take(record)
            self._progress.take(record, replayed=True)
            yield record

    def _header(self) -> dict[str, Any]:
        plan, settings = self._plan, self._plan.settings
        return {
            "format": 1,
            "experiment": self._configuration.experiment,
            "folder": str(self._folder.path),
            "command": sys.argv[1:],
            "search": settings["search"]["_target_"].rpartition(".")[2],
            "population_size": settings["search"].get("population_size", plan.layout.num_groups),
            "num_evaluations": plan.search.num_evaluations,
            "objective": settings["objective"],
            "unit": plan.unit,
            "layout": str(plan.layout),
            "group_sizes": list(plan.layout.sizes),
            "versions": {
                "nestedga": __version__,
                "python": sys.version.split()[0],
                **{name: metadata.version(name) for name in VERSIONED},
                "mpi": library_version(),
            },
        }


def decide_lock(world: MPI.Comm, folder: RunFolder) -> object:
    """World rank 0 takes the run folder; gives what must be kept for as long as the run writes."""
    held: list[object] = []
    decide(world, lambda: held.append(folder.lock()))
    return held


def _choose_folder(configuration: Configuration, job: int | None) -> RunFolder | None:
    """The folder of this run, chosen by one rank for all: a time-stamp taken by each would differ."""
    run, resume = configuration.settings.run, configuration.settings.resume
    runs = Path("runs") / configuration.experiment
    if run.dir is not None:
        folder = RunFolder(Path(run.dir) if job is None else Path(run.dir) / str(job))
    elif not resume:
        stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
        path = runs / stamp if job is None else runs / f"{stamp}_job{job}"
        return RunFolder(_unused(path))
    elif job is not None:
        raise SettingError("resume=true of a multirun needs run.dir: the folder that holds its jobs' folders")
    elif (newest := newest_unfinished(runs)) is not None:
        print(f"nestedga: going on in {newest.path}", flush=True)
        folder = newest
    else:
        raise SettingError(
            f"resume=true: there is no unfinished run in {runs}; name one with run.dir, or start without resume"
        )
    if not resume:
        if folder.has_run:
            raise SettingError(
                f"run.dir={folder.path} holds a run already; add resume=true to go on with it, or choose another"
            )
        return folder
    if folder.has_run and folder.is_complete:
        if job is not None:
            return None
        raise SettingError(f"resume=true: the run in {folder.path} is complete; its summary is {folder.summary}")
    if not folder.has_run and job is None:
        raise SettingError(f"resume=true: run.dir={folder.path} holds no run to go on with; start without resume=true")
    return folder


def _unused(path: Path) -> Path:
    """The path, or with a number behind it where two runs began in the same second."""
    return next(p for p in (path, *(path.with_name(f"{path.name}_{i}") for i in range(2, 1000))) if not p.exists())


def _check_same(now: dict[str, Any], before: dict[str, Any], folder: RunFolder) -> None:
    """A run goes on with the settings it was begun with, but for those that change no result."""
    flat_now, flat_before = dict(_flat(now, "")), dict(_flat(before, ""))
    for path in sorted({*flat_now, *flat_before}):
        if path.split(".")[0] not in FREE_ON_RESUME and flat_now.get(path) != flat_before.get(path):
            raise SettingError(
                f"resume=true: {path}={flat_now.get(path)} differs from {flat_before.get(path)}, with which the run in "
                f"{folder.path} was begun; type {path}={flat_before.get(path)}, or begin a new run"
            )


def _flat(node: Any, at: str) -> Iterable[tuple[str, Any]]:
    if isinstance(node, dict) and node:
        for key, child in node.items():
            yield from _flat(child, f"{at}.{key}" if at else str(key))
    else:
        yield at, node
