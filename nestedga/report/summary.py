"""The closing summary of a run: for people as a table, for scripts as ``summary.json``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from nestedga.population.member import Member
from nestedga.rank.launcher import launched_rank
from nestedga.record.history import History
from nestedga.record.run_folder import RunFolder
from nestedga.report.numbers import figure, short

MOST_SHOWN = 20  # members of the front, on the screen; summary.json has them all


def summarise(history: History) -> dict[str, Any]:
    """What a script needs to know; the keys are documented in docs/reporting.md."""
    best = None
    if history.best_id is not None:
        member, evaluation = history.member(history.best_id), history.evaluation(history.best_id)
        best = {
            "member_id": member.id,
            "slot": member.slot,
            "generation": member.generation,
            "genotype": member.genotype,
            "fitness_fom": evaluation.fom,
            "fitness": evaluation.metrics,
            "test": history.test.metrics if history.test else None,
            "lineage": [ancestor.id for ancestor in history.lineage(member.id)],
        }
    several = len(history.objectives) > 1
    return {
        "status": history.status,
        "experiment": history.start.experiment,
        "part": history.start.part,
        "objective": asdict(history.start.objective),
        "best": best,
        "pareto_front": [_of_front(history, member_id) for member_id in history.front.ids] if several else None,
        "hypervolume": _hypervolume(history) if several and history.front.ids else None,
        "evaluations": history.counts,
        "immigrants": len(history.members.origins),
        "seconds": history.seconds.wall,
        "group_seconds": history.seconds.total,
        "ledger": history.seconds.ledger,
        "layout": history.layout,
        "versions": history.start.versions,
    }


def _of_front(history: History, member_id: int) -> dict[str, Any]:
    member = history.member(member_id)
    return {
        "member_id": member.id,
        "slot": member.slot,
        "generation": member.generation,
        "genotype": member.genotype,
        "objectives": _objectives(history, member_id),
    }


def _objectives(history: History, member_id: int) -> dict[str, float]:
    return dict(zip(history.objectives.names, history.evaluation(member_id).values, strict=True))


def _hypervolume(history: History) -> dict[str, Any]:
    return {
        "value": history.front.hypervolume(),
        "reference": dict(zip(history.objectives.names, history.reference, strict=True)),
        "rule": "the worst value of each objective among all members that succeeded",
    }


def schedule_table(history: History) -> Table:
    """The hyperparameters along the best member's lineage; an interval that changes nothing is left out."""
    assert history.best_id is not None
    unit = history.start.unit
    line = history.lineage(history.best_id)
    genes = _genes(line)
    table = Table(
        "member",
        f"from {unit[:-1]}",
        *genes,
        *history.objectives.names,
        title="schedule of the best member",
        title_justify="left",
    )
    trained, before = 0, None
    for member in line:
        if member.genotype != before or member is line[-1]:
            values = [_as_it_is(member.genotype.get(path, "")) for path in genes]
            values += [_as_it_is(value) for value in history.evaluation(member.id).values]
            origin = history.members.origins.get(member.id)
            whence = f"part {origin.part}, member {origin.member_id}" if origin else str(member.id)
            table.add_row(whence, str(trained), *values)
        trained, before = trained + member.budget, member.genotype
    return table


def time_table(history: History) -> Table:
    """Where the groups' seconds went; the shares are of the wall clock and sum to what is accounted for."""
    table = Table("activity", "seconds", "share", title="time of the groups", title_justify="left")
    ledger = history.seconds.ledger
    for activity, seconds in (*ledger.items(), ("all", sum(ledger.values()))):
        table.add_row(activity, f"{seconds:.1f}", f"{seconds / (history.seconds.total or 1.0):.1%}")
    return table


def front_table(history: History) -> Table:
    """The members that no other dominates, the best by the first objective on top."""
    ids = history.front.ids
    more = f"; the first {MOST_SHOWN} of {len(ids)}" if len(ids) > MOST_SHOWN else ""
    members = [history.member(member_id) for member_id in ids[:MOST_SHOWN]]
    genes = _genes(members)
    table = Table("member", *history.objectives.names, *genes, title=f"Pareto front{more}", title_justify="left")
    for member in members:
        objectives = [short(value) for value in _objectives(history, member.id).values()]
        table.add_row(str(member.id), *objectives, *(_as_it_is(member.genotype.get(path, "")) for path in genes))
    return table


def closing(history: History, folder: RunFolder) -> RenderableType:
    """What a person wants to see at the end."""
    counts = ", ".join(f"{count} {status}" for status, count in sorted(history.counts.items()))
    facts = Table.grid(padding=(0, 2))
    facts.add_row(
        "run" if history.start.part is None else f"part {history.start.part}",
        f"{history.status}: {counts} in {history.seconds.wall:.1f} s",
    )
    parts: list[RenderableType] = [Text(""), facts, time_table(history)]
    if history.best_id is not None:
        best, evaluation = history.member(history.best_id), history.evaluation(history.best_id)
        facts.add_row("best", f"member {best.id} (slot {best.slot}, generation {best.generation})")
        facts.add_row("  fitness", _metrics(evaluation.metrics))
        facts.add_row("  test", _metrics(history.test.metrics) if history.test else "not read")
        parts.append(schedule_table(history))
        if len(history.objectives) > 1:
            reference = ", ".join(
                f"{name} {short(value)}"
                for name, value in zip(history.objectives.names, history.reference, strict=True)
            )
            volume = short(history.front.hypervolume())
            facts.add_row("front", f"members {len(history.front.ids)}, hypervolume {volume} from {reference}")
            parts.append(front_table(history))
    places = Table.grid(padding=(0, 2))
    if history.best_id is not None:
        places.add_row("best member", str(folder.best))
        if len(history.objectives) > 1 and evaluation.checksum is not None:
            places.add_row("Pareto front", f"{folder.states}, by member")
    places.add_row("summary", str(folder.summary))
    places.add_row("schedules", f"tensorboard --logdir {folder.tensorboard}")
    return Group(*parts, places)


def _genes(members: Iterable[Member]) -> list[str]:
    """All genes of some members; each may lack those that are not active in it."""
    return list(dict.fromkeys(path for member in members for path in member.genotype))


def _as_it_is(value: object) -> Text:
    """A cell; in a plain string [a] would be markup."""
    return Text(short(value))


def show(renderable: RenderableType) -> None:
    """Prints to the terminal; under a launcher, or into a file, plainly and wide enough for many genes."""
    plain = launched_rank() is not None or not sys.stdout.isatty()
    Console(force_terminal=not plain, width=160 if plain else None, highlight=False, safe_box=plain).print(renderable)


def _metrics(metrics: dict[str, float]) -> str:
    shown = {name: figure(value) for name, value in metrics.items()}
    return ", ".join(f"{name} {value}" for name, value in shown.items()) or "none"
