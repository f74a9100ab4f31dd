"""What a coordinator's rank keeps beside its own training: journal, coordinator, views and files of the run folder."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping
from importlib import metadata

import yaml

from nestedga import __version__
from nestedga.comm.mpi import library_version
from nestedga.coordination.coordinator import Coordinator, Rules
from nestedga.coordination.event_log import EventLog
from nestedga.coordination.groups import Groups
from nestedga.coordination.migration import Migration
from nestedga.coordination.thinker import Thinker
from nestedga.job.plan import Plan
from nestedga.population.values import overrides
from nestedga.rank.launcher import launched_rank
from nestedga.record import journal
from nestedga.record.events import FORMAT, RunBegan, RunResumed
from nestedga.record.journal import Journal
from nestedga.record.members import Members
from nestedga.record.run_folder import RunFolder, write_beside
from nestedga.report.live.guard import guarded
from nestedga.report.live.lines import say
from nestedga.report.live.views import Views
from nestedga.report.summary import closing, show, summarise

VERSIONED = ("torch", "horovod", "mpi4py", "numpy", "hydra-core")


class Head:
    """Begins or resumes a run, or a part of one, and closes it.

    Args:
        folder: of the run, locked, or of the part.
        plan: the job's.
        thinker: where the search thinks; closed at the end.
        nodes: the node of each rank, by its id.
        migration: with the other parts; None: there are none.
        began: when the job began, on the monotonic clock.

    Attributes:
        coordinator: of the run, once it is open.
        views: likewise.
    """

    coordinator: Coordinator
    views: Views

    def __init__(
        self,
        folder: RunFolder,
        plan: Plan,
        thinker: Thinker,
        nodes: Mapping[int, int],
        migration: Migration | None,
        began: float,
    ) -> None:
        self._folder = folder
        self._plan = plan
        self._thinker = thinker
        self._nodes = nodes
        self._migration = migration
        self._began = began

    def open(self) -> None:
        """Begins a run, or goes on with one."""
        folder, plan = self._folder, self._plan
        resumed = folder.has_run
        if not resumed:
            write_beside(folder.config, self._plan.configuration.yaml())
        # Under a launcher the output is a pipe in the end, even where it lends each rank a terminal of its own.
        self.views = Views(folder, live=sys.stdout.isatty() and launched_rank() is None)
        self._journal = Journal(folder.journal, self.views.put)
        self.coordinator = Coordinator(
            self._thinker,
            EventLog(self._journal, Members(plan.objectives.modes, plan.search.last_counts)),
            folder,
            Groups(plan.layout, self._nodes),
            Rules(plan.allocation, plan.settings.run.max_seconds, plan.evaluator.repeatable),
            self._migration,
        )
        self.coordinator.replay(self.views.replayed(journal.lines(folder.journal)))
        self._warn_of_idle_ranks()
        self._journal.record(self._start(RunResumed if resumed else RunBegan))
        self._journal.flush()
        self.views.show()

    def close(self) -> int:
        """Writes the summary and the best member; gives the exit code."""
        folder, plan, history = self._folder, self._plan, self.views.history
        self._thinker.close()
        self._journal.close()
        self.views.close()
        write_beside(folder.summary, json.dumps(summarise(history), indent=2, allow_nan=False) + "\n")
        best = self.coordinator.best
        if best is not None:
            settings = plan.configure(best.genotype)
            write_beside(folder.best / "config.yaml", yaml.safe_dump(settings, sort_keys=False))
            write_beside(
                folder.best / "overrides.txt",
                "".join(f"{line}\n" for line in overrides(best.genotype)),
            )
            if folder.state(best.id).exists():
                shutil.copyfile(folder.state(best.id), folder.best / "state.safetensors")
        if plan.part is None:
            with guarded("the closing summary"):
                show(closing(history, folder))
        if history.status == "failed":
            say(plan.part, "no member succeeded; the first trace-back stands above, all in logs/", sys.stderr)
        return int(history.status == "failed")

    def _warn_of_idle_ranks(self) -> None:
        pieces, sizes = self._plan.settings.data.get("micro_batches"), self._plan.layout.sizes
        if pieces and (idle := sum(max(0, size - pieces) for size in sizes)):
            say(
                self._plan.part,
                f"{idle} of {sum(sizes)} ranks have no share in data.micro_batches={pieces}; "
                f"with data.micro_batches={max(sizes)} every rank has one (another cut, so another result)",
            )

    def _start(self, kind: type[RunBegan]) -> RunBegan:
        plan, settings = self._plan, self._plan.settings
        versions = {
            "nestedga": __version__,
            "python": sys.version.split()[0],
            **{name: version for name in VERSIONED if (version := _version(name)) is not None},
            "mpi": library_version(),
        }
        return kind(
            format=FORMAT,
            experiment=plan.configuration.experiment,
            part=plan.part,
            folder=str(self._folder.path),
            command=tuple(sys.argv[1:]),
            search=settings.search["_target_"].rpartition(".")[2],
            population_size=plan.search.population_size or plan.layout.num_groups,
            generational=plan.search.generational,
            last_counts=plan.search.last_counts,
            num_evaluations=plan.search.num_evaluations,
            objective=settings.objective,
            unit=plan.unit,
            layout=str(plan.layout),
            first=plan.layout.first,
            group_sizes=plan.layout.sizes,
            versions=versions,
            initialise_seconds=time.monotonic() - self._began,  # after the versions: to find them takes a while
            config_digest=self._folder.config_digest,
        )


def _version(package: str) -> str | None:
    """None: it is not installed, as Horovod where ranks are alone."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
