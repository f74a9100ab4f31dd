"""The end of a run in several parts of the world: their summaries, put together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from nestedga.population.member import signed
from nestedga.population.objectives import Objectives
from nestedga.record.front import Front
from nestedga.record.run_folder import RunFolder, write_beside
from nestedga.report.live.guard import guarded
from nestedga.report.summary import show

Summary = dict[str, Any]


def conclude(folder: RunFolder) -> None:
    """Writes the summary of a run whose parts have written theirs, and shows it."""
    parts = [json.loads(part.summary.read_text()) for part in folder.parts]
    joined = join(parts)
    write_beside(folder.summary, json.dumps(joined, indent=2, allow_nan=False) + "\n")
    with guarded("the closing summary"):
        show(_closing(joined, parts, folder))


def join(parts: Sequence[Summary]) -> Summary:
    """The summary of all: sums, the longest time, the best of the bests; keys: docs/reporting.md."""
    objectives = Objectives.from_config(parts[0]["objective"])
    sign = -1 if objectives.modes[0] == "max" else 1
    bests = [{"part": part["part"], **part["best"]} for part in parts if part["best"]]
    statuses = {part["status"] for part in parts}
    return {
        "status": next(status for status in ("max_seconds", "complete", "failed") if status in statuses),
        **{key: parts[0][key] for key in ("experiment", "objective")},
        "best": min(bests, key=lambda best: sign * best["fitness_fom"], default=None),
        "pareto_front": _front(parts, objectives) if len(objectives) > 1 else None,
        "evaluations": _summed(parts, "evaluations"),
        "immigrants": sum(part["immigrants"] for part in parts),
        "seconds": max(part["seconds"] for part in parts),
        "group_seconds": sum(part["group_seconds"] for part in parts),
        "ledger": _summed(parts, "ledger"),
        "versions": parts[0]["versions"],
        "parts": [
            {key: part[key] for key in ("part", "status", "evaluations", "immigrants", "seconds", "layout")}
            | {"best": part["best"] and {key: part["best"][key] for key in ("member_id", "fitness_fom", "test")}}
            for part in parts
        ],
    }


def _front(parts: Sequence[Summary], objectives: Objectives) -> list[Summary]:
    """The members of all parts' fronts that none of another part dominates, the best by the first objective first."""
    points = [{"part": part["part"], **point} for part in parts for point in part["pareto_front"]]
    front = Front()
    for number, point in enumerate(points):
        values = [point["objectives"][name] for name in objectives.names]
        front.add(number, signed(values, objectives.modes))
    return [points[number] for number in front.ids]


def _summed(parts: Sequence[Summary], key: str) -> dict[str, Any]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part[key])
    return dict(total)


def _closing(joined: Summary, parts: Sequence[Summary], folder: RunFolder) -> Group:
    name = Objectives.from_config(joined["objective"]).names[0]
    columns = ("part", "status", "evaluations", "immigrants", "seconds", "best member", name, "test")
    table = Table(*columns, title="parts of the world", title_justify="left")
    for part in parts:
        best = part["best"] or {}
        test = ", ".join(f"{metric} {value:.4g}" for metric, value in (best.get("test") or {}).items())
        table.add_row(
            str(part["part"]),
            part["status"],
            str(sum(part["evaluations"].values())),
            str(part["immigrants"]),
            f"{part['seconds']:.1f}",
            str(best.get("member_id", "none")),
            f"{best['fitness_fom']:.4g}" if best else "",
            test,
        )
    places = Table.grid(padding=(0, 2))
    if joined["best"]:
        places.add_row("best member", str(folder.parts[joined["best"]["part"]].best))
    places.add_row("summary", str(folder.summary))
    return Group(Text(""), table, places)
