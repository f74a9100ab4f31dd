"""What world rank 0 keeps beside its own training: journal, coordinator, displays and the files of the run folder."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from importlib import metadata
from typing import Any

import yaml

from nestedga import __version__, journal
from nestedga.comm.groups import library_version
from nestedga.comm.launcher import launched_rank
from nestedga.config import Configuration
from nestedga.coordinator import Coordinator
from nestedga.errors import SettingError
from nestedga.journal import Journal
from nestedga.plan import Plan
from nestedga.report.displays import Displays
from nestedga.report.summary import closing, show, summarise
from nestedga.run_folder import RunFolder, write_beside
from nestedga.search.base import Generational, Search
from nestedga.search_process import DistantSearch, SearchProcess

# Settings that may differ when a run goes on: none of them changes what a member's training gives.
FREE_ON_RESUME = ("resume", "run", "groups")
VERSIONED = ("torch", "horovod", "mpi4py", "numpy", "hydra-core")


class Desk:
    """Begins or resumes a run, and closes it.

    Args:
        folder: of the run, locked.
        configuration: the job's.
        plan: the job's.
        search_process: where a slow search needs one.
        nodes: the node of each world rank.
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
        configuration: Configuration,
        plan: Plan,
        search_process: SearchProcess | None,
        nodes: Sequence[int],
        began: float,
    ) -> None:
        self._folder = folder
        self._configuration = configuration
        self._plan = plan
        self._search_process = search_process
        self._nodes = nodes
        self._began = began

    def open(self) -> None:
        """Begins a run, or goes on with one."""
        folder, plan = self._folder, self._plan
        resumed = folder.has_run
        if resumed:
            _check_same(plan.settings, yaml.safe_load(folder.config.read_text()), folder)
        else:
            write_beside(folder.config, self._configuration.yaml())
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
            max_seconds=plan.settings["run"]["max_seconds"],
        )
        self.coordinator.replay(self.displays.replayed(journal.read(folder.journal)))
        self._warn_of_idle_ranks()
        self._journal.record("resume" if resumed else "run", **self._header())
        self._journal.flush()
        self.displays.show()

    def close(self) -> int:
        """Writes the summary and the best member; gives the exit code."""
        folder, history = self._folder, self.displays.history
        self._journal.close()
        self.displays.close()
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
        if history.status == "failed":
            print(
                "nestedga: no member succeeded; the first trace-back stands above, all in logs/",
                file=sys.stderr,
                flush=True,
            )
        return int(history.status == "failed")

    def _search(self) -> Search | DistantSearch:
        plan = self._plan
        if not plan.search.slow:
            return plan.search
        assert self._search_process is not None, "spawned before MPI started"
        return self._search_process.begin(plan.search, plan.settings, plan.settings["run"]["stall_seconds"])

    def _warn_of_idle_ranks(self) -> None:
        pieces, sizes = self._plan.settings["data"].get("micro_batches"), self._plan.layout.sizes
        if pieces and (idle := sum(max(0, size - pieces) for size in sizes)):
            print(
                f"nestedga: {idle} of {sum(sizes)} ranks have no share in data.micro_batches={pieces}; "
                f"with data.micro_batches={max(sizes)} every rank has one (another cut, so another result)",
                flush=True,
            )

    def _header(self) -> dict[str, Any]:
        plan, settings = self._plan, self._plan.settings
        return {
            "format": 1,
            "experiment": self._configuration.experiment,
            "folder": str(self._folder.path),
            "command": sys.argv[1:],
            "search": settings["search"]["_target_"].rpartition(".")[2],
            "population_size": getattr(plan.search, "population_size", plan.layout.num_groups),
            "generational": isinstance(plan.search, Generational),
            "num_evaluations": plan.search.num_evaluations,
            "objective": settings["objective"],
            "unit": plan.unit,
            "layout": str(plan.layout),
            "group_sizes": list(plan.layout.sizes),
            "initialise_seconds": time.monotonic() - self._began,
            "versions": {
                "nestedga": __version__,
                "python": sys.version.split()[0],
                **{name: metadata.version(name) for name in VERSIONED},
                "mpi": library_version(),
            },
        }


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
