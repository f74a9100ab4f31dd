"""The closing summary of a run: for people as a table, for scripts as ``summary.json``."""

from __future__ import annotations

import math
import sys
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from nestedga.comm.launcher import launched_rank
from nestedga.report.history import History
from nestedga.run_folder import RunFolder


def summarise(history: History) -> dict[str, Any]:
    """What a script needs to know; the keys are documented in docs/reporting.md."""
    best = None
    if history.best_id is not None:
        member, evaluation = history.members[history.best_id], history.evaluations[history.best_id]
        best = {
            "member_id": member.id,
            "slot": member.slot,
            "generation": member.generation,
            "genotype": member.genotype,
            "fitness_fom": evaluation.fom,
            "fitness": evaluation.metrics,
            "test": history.test["metrics"] if history.test else None,
            "lineage": [ancestor.id for ancestor in history.lineage(member.id)],
        }
    return {
        "status": history.status,
        "experiment": history.header["experiment"],
        "objective": history.header["objective"],
        "best": best,
        "evaluations": history.counts,
        "seconds": history.seconds,
        "ledger": history.ledger,
        "layout": history.header["layout"],
        "versions": history.header["versions"],
    }


def schedule_table(history: History) -> Table:
    """The hyperparameters along the best member's lineage; an interval that changes nothing is left out."""
    assert history.best_id is not None
    unit, name = history.header["unit"], history.header["objective"]["name"]
    line = history.lineage(history.best_id)
    table = Table(
        "member",
        f"from {unit[:-1]}",
        *line[0].genotype,
        name,
        title="schedule of the best member",
        title_justify="left",
    )
    trained, before = 0, None
    for member in line:
        if member.genotype != before or member is line[-1]:
            values = [_short(value) for value in member.genotype.values()]
            table.add_row(str(member.id), str(trained), *values, _short(history.evaluations[member.id].fom))
        trained, before = trained + member.budget, member.genotype
    return table


def closing(history: History, folder: RunFolder) -> RenderableType:
    """What a person wants to see at the end."""
    counts = ", ".join(f"{count} {status}" for status, count in sorted(history.counts.items()))
    total = sum(history.ledger.values()) or 1.0
    times = ", ".join(f"{activity} {seconds / total:.0%}" for activity, seconds in history.ledger.items())
    facts = Table.grid(padding=(0, 2))
    facts.add_row("run", f"{history.status}: {counts} in {history.seconds:.1f} s")
    facts.add_row("time of groups", times)
    parts: list[RenderableType] = [Text(""), facts]
    if history.best_id is not None:
        best, evaluation = history.members[history.best_id], history.evaluations[history.best_id]
        facts.add_row("best", f"member {best.id} (slot {best.slot}, generation {best.generation})")
        facts.add_row("  fitness", _metrics(evaluation.metrics))
        facts.add_row("  test", _metrics(history.test["metrics"]) if history.test else "not read")
        parts.append(schedule_table(history))
    places = Table.grid(padding=(0, 2))
    if history.best_id is not None:
        places.add_row("best member", str(folder.best))
    places.add_row("summary", str(folder.summary))
    places.add_row("schedules", f"tensorboard --logdir {folder.tensorboard}")
    return Group(*parts, places)


def show(renderable: RenderableType) -> None:
    """Prints to the terminal; under a launcher, or into a file, plainly and wide enough for many genes."""
    plain = launched_rank() is not None or not sys.stdout.isatty()
    Console(force_terminal=not plain, width=160 if plain else None, highlight=False, safe_box=plain).print(renderable)


def _metrics(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items()) or "none"


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else "failed"
    return str(value)
