"""``python -m nestedga.simulate``: how well a search keeps groups busy, without the groups; on one core, no launcher.

    python -m nestedga.simulate simulate.groups=4096 search=pbt_async search.population_size=4096

Settings are those of ``python -m nestedga``, of which seed, search, space and interval count, and a section
``simulate`` (settings.py). docs/simulation.md says what the figures mean.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nestedga.errors import SettingError
from nestedga.job.configuration import Configuration
from nestedga.job.overrides import split_off
from nestedga.job.plan import make_search
from nestedga.record.run_folder import write_beside
from nestedga.report.summary import show
from nestedga.simulate.outcome import simulate
from nestedga.simulate.report import draw, summary
from nestedga.simulate.settings import SimulateConfig

# What says how long a search is.
LENGTHS = tuple(f"search.{inner}{name}=" for inner in ("", "wrapped.") for name in ("generations", "evaluations"))


def main() -> None:
    """Simulates, prints, writes; ends the process with code 2 for a setting that cannot be met."""
    defaults = (f"simulate.{field.name}={field.default}" for field in dataclasses.fields(SimulateConfig))
    parser = argparse.ArgumentParser(
        prog="python -m nestedga.simulate",
        description="Plays a run on a virtual clock: real coordinator, search and journal, played groups.",
        epilog="\n  ".join(("settings of its own, with their defaults (docs/simulation.md):", *defaults)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("overrides", nargs="*", help="as of python -m nestedga; search, space, interval and seed count")
    parser.add_argument("--config-dir", "-cd", help="a folder of your own config groups")
    options = parser.parse_args()
    try:
        run(options.overrides, options.config_dir)
    except SettingError as error:
        print(f"nestedga.simulate: {error}", file=sys.stderr)
        sys.exit(2)


def run(overrides: Sequence[str], config_dir: str | None = None) -> dict[str, Any]:
    """One simulation from overrides to files; gives the figures.

    Raises:
        SettingError: naming setting, value and remedy.
    """
    section, others = split_off("simulate", SimulateConfig, overrides)
    section.check()
    settings = Configuration(others, config_dir).settings
    if not any(text.lstrip("+").startswith(LENGTHS) for text in others):
        _lengthen(settings.search, section)
    search = make_search(settings)
    if (search.num_objectives or 1) > 1:
        raise SettingError("objective.name: the played function gives one objective; add objective.name=fom")
    folder = _make_folder(section.dir)
    outcome = simulate(
        section, functools.partial(make_search, settings), search.space, settings.seed, folder / "journal.jsonl"
    )
    figures = {"command": list(overrides), "settings": dataclasses.asdict(section), **outcome.figures}
    write_beside(folder / "figures.json", json.dumps({**figures, "curves": outcome.curves()}, indent=2) + "\n")
    draw(outcome, folder / "figures.png")
    show(summary(outcome.figures, folder))
    return figures


def _lengthen(search: dict[str, Any], section: SimulateConfig) -> None:
    """Makes a search so long that it does not end before the budget; one that is as long as it is stays so."""
    inner = search if search.get("generations") is not None else search.get("wrapped", {})
    if inner.get("generations") is not None:
        population_size = search.get("population_size") or inner["population_size"]
        inner["generations"] = max(inner["generations"], math.ceil(section.evaluations_within() / population_size))
        if inner.get("evaluations") is not None:
            inner["evaluations"] = None


def _make_folder(given: str | None) -> Path:
    folder = Path(given) if given else Path("runs") / "simulate" / time.strftime("%Y-%m-%d_%H-%M-%S")
    if (folder / "journal.jsonl").exists():
        raise SettingError(f"simulate.dir={folder} holds a journal already; choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"simulate.dir={folder} cannot be made ({error.strerror}); choose another folder") from error
    return folder


if __name__ == "__main__":
    main()
