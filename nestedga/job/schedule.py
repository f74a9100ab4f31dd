"""Where ``search=replay`` has its schedule from: the journal of an earlier run, a YAML file, or the configuration.

What is written down is a list of intervals in their order:

    - genotype: {optimizer.lr: 0.1}  # settings by their paths; what is not named is as configured
      budget: 10  # epochs or steps, whichever ``interval`` counts; without it, one interval
    - genotype: {optimizer.lr: 0.01}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nestedga.errors import SettingError
from nestedga.job.yaml_files import read_yaml
from nestedga.population.genes import CategoricalGene
from nestedga.population.member import GeneValue
from nestedga.population.space import Space
from nestedga.population.values import distinct, is_plain
from nestedga.record.history import History
from nestedga.record.run_folder import PartFolder, RunFolder
from nestedga.search.pbt.replay import Replay, Segment


def replay(
    space: Space,
    *,
    seed: int,
    budget: int,
    schedule: str | Sequence[Any] | None,
    interval: Mapping[str, int | None],
    member: int | None = None,
    **_: Any,
) -> Replay:
    """The search along a schedule; its space is the values that the schedule takes, whatever the configured one is.

    Args:
        space: not used: a schedule's values may lie outside.
        seed: of all draws.
        budget: length of an interval that does not say.
        schedule: a run's folder, a YAML file, or the list itself.
        interval: the section of that name, to tell the unit of budgets.
        member: of a run: whose schedule; None: the best's.
        _: sizes that an experiment has set for a search of its own.

    Raises:
        SettingError: in one line, if there is no schedule to be had.
    """
    if schedule is None:
        raise SettingError(
            "search.schedule is not given; name a run's folder, as in runs/digits_pbt/TIME, or a YAML file of intervals"
        )
    path = None if isinstance(schedule, list) else Path(str(schedule))
    where = f"search.schedule={schedule}" if path else "search.schedule"
    if path is None:
        segments = _listed(schedule, where)
    elif path.is_dir():
        segments = of_run(path, member, "steps" if interval["epochs"] is None else "epochs")
    elif path.exists():
        segments = of_file(path)
    else:
        raise SettingError(f"{where} does not exist; name a run's folder, or a YAML file of intervals")
    if member is not None and not (path and path.is_dir()):
        raise SettingError(f"search.member={member}: {where} is no run with members; leave search.member out")
    return Replay(_space_of(segments, where), seed=seed, budget=budget, schedule=segments)


def of_run(folder: Path, member_id: int | None, unit: str) -> list[Segment]:
    """The schedule along the lineage of a run's member.

    Args:
        folder: of the run.
        member_id: of the member; None: the best.
        unit: of this run's budgets, ``epochs`` or ``steps``.
    """
    run = RunFolder(folder)
    if not run.has_run:
        raise SettingError(
            f"search.schedule={folder} holds no {run.journal.name}; name the folder of one run, as in "
            "runs/digits_pbt/TIME, or a YAML file of intervals"
        )
    if run.parts:
        raise SettingError(f"search.schedule={folder} holds several parts; name one, as in {run.parts[0].path}")
    history = History.of(run.journal)
    chosen = history.best_id if member_id is None else member_id
    if chosen is None:
        raise SettingError(f"search.schedule={folder}: no member of that run has succeeded; name another run")
    if chosen not in history:
        raise SettingError(
            f"search.member={chosen}: {folder} has members 0 to {history.last_id}; leave it out for the best"
        )
    if history.start.unit != unit:
        other = history.start.unit
        raise SettingError(
            f"search.schedule={folder}: that run counted {other} and this one counts {unit}; "
            f"add interval.{other}=1 interval.{unit}=null"
        )
    line = history.lineage(chosen)
    while line[0].id < 0:  # an immigrant: the journal of another part of the world goes on
        origin = history.members.origins[line[0].id]
        history = History.of(PartFolder(RunFolder(folder.parent), origin.part).journal)
        line = history.lineage(origin.member_id) + line[1:]
    return [Segment(member.genotype, member.budget) for member in line]


def of_file(path: Path) -> list[Segment]:
    """The schedule that a file spells out."""
    return _listed(read_yaml(path), f"search.schedule={path}")


def _listed(entries: Any, where: str) -> list[Segment]:
    if not isinstance(entries, Sequence) or isinstance(entries, str) or not entries:
        raise SettingError(
            f"{where} must be a list of intervals, each as in {{genotype: {{optimizer.lr: 0.1}}, budget: 10}}"
        )
    return [_segment(entry, f"{where}, interval {number}") for number, entry in enumerate(entries)]


def _segment(entry: Any, where: str) -> Segment:
    genotype = entry.get("genotype") if isinstance(entry, Mapping) else None
    if not isinstance(genotype, Mapping) or set(entry) - {"genotype", "budget"}:
        raise SettingError(f"{where} is {entry!r}; write {{genotype: {{optimizer.lr: 0.1}}, budget: 10}}")
    budget = entry.get("budget")
    if budget is not None and (type(budget) is not int or budget < 1):
        raise SettingError(f"{where}: budget={budget!r} trains nothing; use a whole number, 1 or more")
    for path, value in genotype.items():
        if not is_plain(value):
            raise SettingError(
                f"{where}: {path}={value!r} is no value; give a number, a string, a boolean, or a list or mapping of "
                "such to a whole path, as in optimizer.lr: 0.1"
            )
    return Segment({str(path): value for path, value in genotype.items()}, budget)


def _space_of(segments: Sequence[Segment], where: str) -> Space:
    """What a schedule varies, and the values that it takes; a setting below a config group hangs on the group's."""
    genotypes = [segment.genotype for segment in segments]
    genes = list(dict.fromkeys(gene for genotype in genotypes for gene in genotype))
    if not genes:
        raise SettingError(f"{where} sets nothing; give settings, as in genotype: {{optimizer.lr: 0.1}}")

    def taken(gene: str, beside: str) -> tuple[GeneValue, ...]:
        return distinct(genotype[gene] for genotype in genotypes if gene in genotype and beside in genotype)

    groups = {gene: [group for group in genes if gene.startswith(f"{group}.")] for gene in genes}
    return Space(
        tuple(CategoricalGene(gene, taken(gene, gene)) for gene in genes),
        {gene: tuple((group, taken(group, beside=gene)) for group in groups[gene]) for gene in genes if groups[gene]},
    )
