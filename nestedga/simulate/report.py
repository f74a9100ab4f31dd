"""What a simulation found: for people as a table and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from nestedga.simulate.outcome import Floats, Outcome

SECONDS_PER_HOUR = 3600.0
NOTABLE_SHARE = 0.03  # of waiting; the bar for utilisation is 0.97
MOST_POINTS = 500  # of a curve that is drawn


def summary(figures: dict[str, Any], folder: Path) -> RenderableType:
    """The figures as a table, and where the rest is."""
    facts = Table.grid(padding=(0, 2))
    facts.add_row("run", _run(figures))
    facts.add_row("utilisation", f"{figures['utilisation']:.4f}")
    facts.add_row("  of finished evaluations", f"{figures['utilisation_finished']:.4f}")
    waits = f"{figures['wait_share']:.4f}, of it for the search {figures['wait_for_search_share']:.4f}"
    facts.add_row("wait, share", waits)
    facts.add_row("fetch, share", f"{figures['fetch_share']:.4f} ({_states(figures)})")
    facts.add_row("lost, share", f"{figures['lost_share']:.4f}")
    facts.add_row("report to order", _seconds(figures["queueing_seconds"]))
    facts.add_row("decision", f"{_seconds(figures['decision_seconds'])}; {figures['reports_per_decision']:.1f} reports")
    facts.add_row("  for one report", _short(figures["decision_seconds_per_report"]))
    facts.add_row("coordinator busy, share", f"{figures['coordinator_busy_share']:.4f}")
    if thinking := figures["thinking"]:
        facts.add_row("question to the search", _seconds(thinking["seconds"]))
        facts.add_row("  for one member", _short(thinking["seconds_per_member"]))
    facts.add_row("memory", f"{figures['memory_bytes'] / 1e6:.0f} MB")
    facts.add_row("journal", f"{figures['journal_bytes'] / 1e6:.1f} MB")
    parts: list[RenderableType] = [Text(""), facts]
    if (ended := figures["search_ended_at_seconds"]) is not None:
        parts.append(
            Text(f"the search came to its end after {ended:.0f} of {figures['seconds']:.0f} s; all waited then")
        )
    return Group(*parts, Text(f"figures.json, figures.png and journal.jsonl are in {folder}"))


def _run(figures: dict[str, Any]) -> str:
    hours = figures["seconds"] / SECONDS_PER_HOUR
    return (
        f"{figures['groups']} groups, {hours:.4g} h: {figures['evaluations']} evaluations, "
        f"{figures['evaluations_failed']} failed, {figures['evaluations_per_second']:.4g} a second; "
        f"simulated in {figures['real_seconds']:.0f} s"
    )


def _states(figures: dict[str, Any]) -> str:
    return f"{figures['states_fetched']} states, {figures['states_from_disk']} of them from disk"


def _seconds(spread: dict[str, float]) -> str:
    return ", ".join(f"{name} {_short(value)}" for name, value in spread.items())


def _short(seconds: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1.0:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def draw(outcome: Outcome, path: Path) -> None:
    """The picture: utilisation, queueing, decisions and memory."""
    # No pyplot: it keeps figures of its own and looks for a screen. Here, for it takes longer to import than all else.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 7.0), layout="constrained")
    (utilisation, queueing), (decisions, memory) = figure.subplots(2, 2)
    middles = outcome.times - outcome.times[0] / 2.0
    utilisation.plot(middles / SECONDS_PER_HOUR, outcome.utilisation)
    utilisation.axhline(outcome.figures["utilisation"], linestyle=":", color="grey")
    utilisation.set(title="utilisation", xlabel="hours", ylabel="share of groups that train", ylim=(0.0, 1.02))
    delays = np.maximum(outcome.queueing, 1e-6)
    queueing.hist(delays, bins=np.geomspace(delays.min() * 0.9, delays.max() * 1.1, 60).tolist())
    queueing.set(title="from a report to the order", xlabel="seconds", ylabel="orders", xscale="log", yscale="log")
    hours, longest, middle = _thinned(outcome.decisions)
    decisions.plot(hours, longest * 1e3, ".", markersize=3, label="longest")
    decisions.plot(hours, middle * 1e3, label="median")
    decisions.set(title="decisions", xlabel="hours", ylabel="milliseconds", yscale="log")
    decisions.legend()
    memory.plot(outcome.memory[0] / SECONDS_PER_HOUR, outcome.memory[1] / 1e6)
    memory.set(title="memory", xlabel="hours", ylabel="MB", ylim=(0.0, None))
    figure.savefig(path, dpi=120)


def _thinned(decisions: Floats) -> tuple[Floats, Floats, Floats]:
    """Hours, longest and median seconds of consecutive decisions, in pieces of equal number."""
    pieces = np.array_split(decisions, min(MOST_POINTS, decisions.shape[1]), axis=1)
    rows = [(piece[0, 0] / SECONDS_PER_HOUR, piece[1].max(), float(np.median(piece[1]))) for piece in pieces]
    hours, longest, middle = np.maximum(np.array(rows).T, [[0.0], [1e-7], [1e-7]])  # a logarithm has no zero
    return hours, longest, middle
