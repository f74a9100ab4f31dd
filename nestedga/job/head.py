"""What world rank 0 keeps beside its own training: journal, coordinator, displays and the files of the run folder."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import yaml

from nestedga import __version__
from nestedga.comm.mpi import library_version
from nestedga.coordination.coordinator import Coordinator
from nestedga.coordination.migration import Migration
from nestedga.coordination.search_process import DistantSearch, SearchProcess
from nestedga.errors import SettingError
from nestedga.job.plan import Plan
from nestedga.rank.launcher import launched_rank
from nestedga.record import journal
from nestedga.record.journal import Journal
from nestedga.record.run_folder import RunFolder, write_beside
from nestedga.report.live.displays import Displays
from nestedga.report.live.progress import say
from nestedga.report.summary import closing, show, summarise
from nestedga.search.base import Generational, Search

VERSIONED = ("torch", "horovod", "mpi4py", "numpy", "hydra-core")


class Desk:
    """Begins or resumes a run, or a part of one, and closes it.

    Args:
        folder: of the run, locked, or of the part.
        plan: the job's.
        search_process: where a slow search needs one.
        nodes: the node of each world rank.
        migration: with the other parts; None: there are none.
        began: when the job began, on the monotonic clock.

    Attributes:
        coordinator: of the run, once it is open.
        displays: likewise.
    """

    coordinator: Coordinator
    displays: Displays

    def __init__(
        self,
        folder: RunFolder,
        plan: Plan,
        search_process: SearchProcess | None,
        nodes: Sequence[int],
        migration: Migration | None,
        began: float,
    ) -> None:
        self._folder = folder
        self._plan = plan
        self._search_process = search_process
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
        self.displays = Displays(folder, live=sys.stdout.isatty() and launched_rank() is None)
        self._journal = Journal(folder.journal, self.displays.put)
        self.coordinator = Coordinator(
            self._search(),
            self._journal,
            folder,
            modes=plan.objectives.modes,
            layout=plan.layout,
            nodes=self._nodes,
            allocation=plan.allocation,
            migration=self._migration,
            max_seconds=plan.settings["run"]["max_seconds"],
            repeatable=plan.evaluator.repeatable,
            last_counts=plan.search.last_counts,
        )
        self.coordinator.replay(self.displays.replayed(journal.read(folder.journal)))
        self._warn_of_idle_ranks()
        self._journal.record("resume" if resumed else "run", **self._header())
        self._journal.flush()
        self.displays.show()

    def close(self) -> int:
        """Writes the summary and the best member; gives the exit code."""
        folder, plan, history = self._folder, self._plan, self.displays.history
        self._journal.close()
        self.displays.close()
        write_beside(folder.summary, json.dumps(summarise(history), indent=2, allow_nan=False) + "\n")
        best = self.coordinator.best
        if best is not None:
            settings = plan.configuration.with_genotype(plan.space)(best.genotype)
            write_beside(folder.best / "config.yaml", yaml.safe_dump(settings, sort_keys=False))
            write_beside(
                folder.best / "overrides.txt",
                "".join(f"{path}={value}\n" for path, value in best.genotype.items()),
            )
            if folder.state(best.id).exists():
                shutil.copyfile(folder.state(best.id), folder.best / "state.safetensors")
        if plan.part is None:
            show(closing(history, folder))
        if history.status == "failed":
            say(plan.part, "no member succeeded; the first trace-back stands above, all in logs/", sys.stderr)
        return int(history.status == "failed")

    def _search(self) -> Search | DistantSearch:
        plan = self._plan
        if not plan.search.slow:
            return plan.search
        if self._search_process is None:  # to be spawned before MPI started
            raise SettingError(
                f"coordinator.count={len(plan.parts)}: the launcher does not say how many ranks it starts, so "
                f"{type(plan.search).__name__} has no process to think in; use mpirun or srun, or another search"
            )
        return self._search_process.begin(plan.search, plan.settings, plan.settings["run"]["stall_seconds"])

    def _warn_of_idle_ranks(self) -> None:
        pieces, sizes = self._plan.settings["data"].get("micro_batches"), self._plan.layout.sizes
        if pieces and (idle := sum(max(0, size - pieces) for size in sizes)):
            say(
                self._plan.part,
                f"{idle} of {sum(sizes)} ranks have no share in data.micro_batches={pieces}; "
                f"with data.micro_batches={max(sizes)} every rank has one (another cut, so another result)",
            )

    def _header(self) -> dict[str, Any]:
        plan, settings = self._plan, self._plan.settings
        return {
            "format": 1,
            "experiment": self._plan.configuration.experiment,
            "part": plan.part,
            "folder": str(self._folder.path),
            "command": sys.argv[1:],
            "search": settings["search"]["_target_"].rpartition(".")[2],
            "population_size": getattr(plan.search, "population_size", plan.layout.num_groups),
            "generational": isinstance(plan.search, Generational),
            "last_counts": plan.search.last_counts,
            "num_evaluations": plan.search.num_evaluations,
            "objective": settings["objective"],
            "unit": plan.unit,
            "layout": str(plan.layout),
            "first": plan.layout.first,
            "group_sizes": list(plan.layout.sizes),
            "versions": {
                "nestedga": __version__,
                "python": sys.version.split()[0],
                **{name: metadata.version(name) for name in VERSIONED},
                "mpi": library_version(),
            },
            "initialise_seconds": time.monotonic() - self._began,  # last: to find the versions takes a while
        }
