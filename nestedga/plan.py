"""What every rank derives from the configuration and the size of the world alone; most mistakes are found here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nestedga.comm.layout import Layout, split_evenly
from nestedga.config import Configuration, build
from nestedga.errors import SettingError
from nestedga.evaluators.base import Evaluator
from nestedga.search.base import Search
from nestedga.space import Space


@dataclass(frozen=True, slots=True)
class Plan:
    """A job, before anything is opened."""

    settings: dict[str, Any]
    space: Space
    evaluator: Evaluator
    search: Search
    layout: Layout
    unit: str
    budget: int


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
