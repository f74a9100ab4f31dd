"""Where modules of version 0.1 are now: their names stand in users' code, configurations and run folders.

An import of an old name gives the module under its new one, so both ways see the same classes. A ``_target_`` is
imported, too, so an old one needs nothing more. Names that were inside a module are not followed.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import InspectLoader, Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType

_PARTS = {  # old names, by the part of the package that holds the modules now
    "population": "member objectives genes space training.keys",
    "protocol": "messages layout",
    "rank": "place ledger watchdog comm.launcher",
    "record": "journal run_folder report.history coordination.front",
    "job": "plan run worker schedule",
    "bridges": "configspace optuna_sampler",
    "search.base": "search.ranking search.axes",
    "search.evolution": (
        "search.crossover search.mutation search.selection search.operators search.breeding search.demes "
        "search.genetic search.steady_state search.cma_es"
    ),
    "search.pbt": "search.pb2 search.fire search.exploit search.lines search.multiple_frequencies search.replay",
    "search.model_based": (
        "search.acquisition search.surrogate search.encoding search.gaussian_process search.trust_region"
    ),
    "search.sampling": "search.design search.grid",
    "search.wrappers": "search.rungs search.agebo search.optuna_search",
}
MOVED = {
    **{
        f"nestedga.{old}": f"nestedga.{part}.{old.rpartition('.')[2]}"
        for part in _PARTS
        for old in _PARTS[part].split()
    },
    "nestedga.config": "nestedga.job.configuration",
    "nestedga.desk": "nestedga.job.head",
    "nestedga.training.schedules": "nestedga.training.rate_schedules",
}


class _Finder(MetaPathFinder, Loader):
    """Asked by the import system only for what is found nowhere else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        """A module may put another in its place; the import system gives what then stands there."""
        name = module.__name__
        sys.modules[name] = importlib.import_module(MOVED[name])

    def get_code(self, fullname: str) -> CodeType | None:
        """For ``python -m`` and an old name."""
        spec = importlib.util.find_spec(MOVED[fullname])
        assert spec is not None and isinstance(spec.loader, InspectLoader)
        return spec.loader.get_code(spec.name)


def install() -> None:
    """Makes the old names importable; called once, when the package is."""
    sys.meta_path.append(_Finder())
