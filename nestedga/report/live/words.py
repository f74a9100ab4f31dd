"""How lines and bars put a history into words."""

from __future__ import annotations

from nestedga.record.history import History


def generation(history: History) -> str:
    """How far a run has come, as in "generation 3/40" or "17/100 evaluations"."""
    total = history.start.num_evaluations
    if not history.start.generational:
        return f"{history.num_evaluated}{f'/{total}' if total else ''} evaluations"
    of = f"/{total // history.start.population_size}" if total else ""
    return f"generation {history.num_rows}{of}"


def front(history: History) -> str:
    """The Pareto front's size and hypervolume."""
    return f"front of {len(history.front.ids)}, hypervolume {history.front.hypervolume():.4g}"


def clock(seconds: float) -> str:
    """As in "1:02:03"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def to_go(history: History, now: float) -> str:
    """To be put behind a time; empty where nobody can tell."""
    eta = history.eta_seconds(now)
    return "" if eta is None else f", {clock(eta)} to go"
