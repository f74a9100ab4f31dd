"""What every rank derives from the configuration and the size of the world alone; most mistakes are found here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nestedga.coordination.allocation import Allocation
from nestedga.errors import SettingError
from nestedga.evaluators.base import Evaluator
from nestedga.job.build import build
from nestedga.job.configuration import Configuration
from nestedga.job.gene_checks import check_genes
from nestedga.job.genotype import Configure, make_configure
from nestedga.job.leaves import section_of
from nestedga.job.schema import Schema
from nestedga.population.member import Genotype
from nestedga.population.objectives import Objectives
from nestedga.population.space import Space
from nestedga.population.values import is_plain
from nestedga.protocol.layout import Layout, parted
from nestedga.search.base import Search
from nestedga.search.evolution.demes import TOPOLOGIES
from nestedga.states.limits import StateLimits

IMMIGRATION = ("genetic", "model_based", "pb2", "pbt", "pbt_async", "steady_state")  # known to take immigrants


@dataclass(frozen=True, slots=True)
class Plan:
    """A job, or a rank's part of one where there are several coordinators, before anything is opened.

    Attributes:
        configuration: of the part, which has a seed of its own.
        configure: makes a member's settings of its genotype.
        parts: the layouts of all parts.
        part: its number; None: there is one coordinator.
    """

    configuration: Configuration
    configure: Configure
    objectives: Objectives
    space: Space
    evaluator: Evaluator
    search: Search
    parts: tuple[Layout, ...]
    part: int | None
    allocation: Allocation | None
    unit: str
    budget: int

    @property
    def settings(self) -> Schema:
        """Of the part."""
        return self.configuration.settings

    @property
    def layout(self) -> Layout:
        """Of the part."""
        return self.parts[self.part or 0]

    def check_ends(self) -> None:
        """Shows the opened evaluator the ends of each gene, so that an impossible one is not found in a member.

        Genes that hang on others are left out, and those that choose a whole section.
        """
        for gene in self.space:
            if gene.path in self.space.conditions or self.configuration.group_choices(gene.path):
                continue
            for value in gene.ends:
                try:
                    self.evaluator.check(self.configure({gene.path: value}))
                except SettingError as error:
                    raise SettingError(f"space.{gene.path} may become {value}: {error}") from error


def make_search(settings: Schema) -> Search:
    """The search of a configuration."""
    section, space = settings.search, Space.from_config(settings.space)
    if section.get("founder") == "configured":
        section = {**section, "founder": _configured(space, settings)}
    _, budget = settings.interval.length()
    search: Search = build(section, space, seed=settings.seed, budget=budget)
    return search


def _configured(space: Space, settings: Schema) -> Genotype:
    """The genotype that the configuration itself is; a gene that chooses a section's file has no value in it."""
    values: Genotype = {}
    plain = asdict(settings)
    for path in space.paths:
        section = section_of(plain, path)
        value: Any = section.get(path.rpartition(".")[2]) if isinstance(section, dict) else None
        if is_plain(value) and (not isinstance(value, dict) or space[path].contains(value)):
            values[path] = value
    for _ in space:  # a gene that hangs on an inactive one falls in the next round
        values = {path: value for path, value in values.items() if space.is_active(path, values)}
    return values


def make_parts(settings: Schema, world_size: int) -> tuple[Layout, ...]:
    """The layout of each part of the world, which has a coordinator of its own: the first rank of its first group.

    Raises:
        SettingError: with the sums, where it cannot be parted so.
    """
    return parted(Layout.from_config(world_size, settings.groups), settings.coordinator.count)


def make_plan(configuration: Configuration, world_size: int, rank: int = 0) -> Plan:
    """Checks all that can be checked without opening data or files.

    Args:
        configuration: as typed.
        world_size: all ranks.
        rank: of them, whose plan it is.
    """
    settings = configuration.settings
    parts = make_parts(settings, world_size)
    part = None
    if len(parts) > 1:
        part = max(number for number, layout in enumerate(parts) if layout.first <= rank)
        # Parts with equal draws would search alike.
        seed = np.random.SeedSequence(settings.seed, spawn_key=(part,)).generate_state(1)[0]
        configuration = configuration.with_seed(int(seed))
        settings = configuration.settings
    allocation = Allocation.from_config(settings.groups, settings.data.get("micro_batches"))
    objectives = Objectives.from_config(settings.objective)
    unit, budget = settings.interval.length()
    settings.run.check()
    StateLimits.from_config(settings.states, num_ranks=1)
    evaluator = build(settings.evaluator, build=build, seed=settings.seed, unit=unit)
    for name in objectives.names:
        if name not in evaluator.metrics:
            raise SettingError(f"objective.name={name!r} is not reported; reported: {', '.join(evaluator.metrics)}")
    search = make_search(settings)
    expected = search.num_objectives
    if expected is not None and expected != len(objectives.names):
        raise SettingError(f"search.num_objectives={expected}, but objective.name has {len(objectives.names)}; drop it")
    space = search.space  # a replay's is that of its schedule
    check_genes(configuration, space, evaluator.sections)
    if len(objectives) > 1 and not search.multi_objective:
        kind = settings.search["_target_"].rpartition(".")[2]
        raise SettingError(
            f"search: {kind} cannot weigh {len(objectives)} objectives ({', '.join(objectives.names)}) against each "
            "other; use one that can, such as search=genetic, or name one objective"
        )
    _check_migration(settings, search)
    configure = make_configure(configuration, space)
    return Plan(configuration, configure, objectives, space, evaluator, search, parts, part, allocation, unit, budget)


def _check_migration(settings: Schema, search: Search) -> None:
    section = settings.coordinator
    count, interval, topology = section.count, section.migration_interval, section.topology
    if topology not in TOPOLOGIES:
        raise SettingError(f"coordinator.topology={topology!r} is unknown; known: {', '.join(TOPOLOGIES)}")
    if interval is None:
        return
    if interval < 1:
        raise SettingError(f"coordinator.migration_interval={interval} must be 1 or more, or null for no migration")
    if count == 1:
        raise SettingError(
            f"coordinator.migration_interval={interval}: one coordinator has nobody to send to; use "
            "coordinator.count=2 or more, or coordinator.migration_interval=null"
        )
    if not search.takes_immigrants:
        kind = settings.search["_target_"].rpartition(".")[2]
        raise SettingError(
            f"coordinator.migration_interval={interval}: {kind} takes no immigrants; use one that does "
            f"({', '.join(IMMIGRATION)}), or coordinator.migration_interval=null"
        )
