"""What every rank derives from the configuration and the size of the world alone; most mistakes are found here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nestedga.comm.layout import Layout, split_evenly
from nestedga.config import Configuration, build
from nestedga.errors import SettingError
from nestedga.evaluators.base import Evaluator
from nestedga.objectives import Objectives
from nestedga.search.base import Search
from nestedga.space import Space


@dataclass(frozen=True, slots=True)
class Plan:
    """A job, before anything is opened."""

    settings: dict[str, Any]
    objectives: Objectives
    space: Space
    evaluator: Evaluator
    search: Search
    layout: Layout
    unit: str
    budget: int


def make_search(settings: Mapping[str, Any]) -> Search:
    """The search of a configuration."""
    interval = settings["interval"]
    search: Search = build(
        settings["search"],
        Space.from_config(settings["space"]),
        seed=settings["seed"],
        budget=interval["steps"] if interval["epochs"] is None else interval["epochs"],
    )
    return search


def make_plan(configuration: Configuration, world_size: int) -> Plan:
    """Checks all that can be checked without opening data or files."""
    settings = configuration.plain()
    interval, run = settings["interval"], settings["run"]
    layout = split_evenly(world_size, **settings["groups"])
    objectives = Objectives.from_config(settings["objective"])
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
    for name in objectives.names:
        if name not in evaluator.metrics:
            raise SettingError(f"objective.name={name!r} is not reported; reported: {', '.join(evaluator.metrics)}")
    search = make_search(settings)
    space = getattr(search, "space", Space.from_config(settings["space"]))  # a replay's is that of its schedule
    configuration.check_genes(space, evaluator.sections)
    if len(objectives) > 1 and not getattr(search, "multi_objective", False):
        kind = settings["search"]["_target_"].rpartition(".")[2]
        raise SettingError(
            f"search: {kind} cannot weigh {len(objectives)} objectives ({', '.join(objectives.names)}) against each "
            "other; use one that can, such as search=genetic, or name one objective"
        )
    return Plan(settings, objectives, space, evaluator, search, layout, unit, budget)
