"""Who is better: the order of evaluations, for one objective and for several."""

from __future__ import annotations

import math
from collections.abc import Iterable

from nestedga.member import Evaluation


def ranked(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Best first, failed ones last; ties by id, so that the order never depends on who came in first."""
    return sorted(evaluations, key=lambda e: (not e.ok, e.fom if e.ok else math.inf, e.member_id))
