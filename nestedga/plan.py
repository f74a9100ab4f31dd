"""What every rank derives from the configuration and the size of the world alone; most mistakes are found here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nestedga.config import Configuration, build
from nestedga.errors import SettingError
from nestedga.evaluators.base import Evaluator
from nestedga.layout import Layout, split_evenly
from nestedga.member import Genotype
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
    interval, section, space = settings["interval"], settings["search"], Space.from_config(settings["space"])
    if section.get("founder") == "configured":
        section = {**section, "founder": _configured(space, settings)}
    search: Search = build(
        section,
        space,
        seed=settings["seed"],
        budget=interval["steps"] if interval["epochs"] is None else interval["epochs"],
    )
    return search


def _configured(space: Space, settings: Mapping[str, Any]) -> Genotype:
    """The genotype that the configuration itself is; a gene has no value in it where its setting is a whole section."""
    values: Genotype = {}
    for path in space.paths:
        value: Any = settings
        for key in path.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        if isinstance(value, float | int | str):
            values[path] = value
    for _ in space:  # a gene that hangs on an inactive one falls in the next round
        values = {path: value for path, value in values.items() if space.is_active(path, values)}
    return values


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
    expected = getattr(search, "num_objectives", len(objectives.names))
    if expected != len(objectives.names):
        raise SettingError(f"search.num_objectives={expected}, but objective.name has {len(objectives.names)}; drop it")
    space = getattr(search, "space", Space.from_config(settings["space"]))  # a replay's is that of its schedule
    configuration.check_genes(space, evaluator.sections)
    if len(objectives) > 1 and not getattr(search, "multi_objective", False):
        kind = settings["search"]["_target_"].rpartition(".")[2]
        raise SettingError(
            f"search: {kind} cannot weigh {len(objectives)} objectives ({', '.join(objectives.names)}) against each "
            "other; use one that can, such as search=genetic, or name one objective"
        )
    return Plan(settings, objectives, space, evaluator, search, layout, unit, budget)
