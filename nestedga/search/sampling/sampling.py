"""Sampling: points spread over the space, chosen before anything is known and changed by nothing that is learned.

`random` draws independently, and is the baseline of all others: Bergstra & Bengio 2012, "Random search for
hyper-parameter optimization" (JMLR 13, 281-305). `latin_hypercube` is McKay, Beckman & Conover 1979
(doi:10.1080/00401706.1979.10489755). `sobol` is Sobol' 1967 (doi:10.1016/0041-5553(67)90144-9), scrambled after Owen
1998 (doi:10.1006/jcom.1998.0487).

    points = design(seed), shape (evaluations, genes on a scale)
    member i = from_unit(points[i]), other genes drawn, trained from scratch
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nestedga.search.base import Asynchronous, Birth
from nestedga.search.sampling.design import DESIGNS, unit_points


@dataclass(eq=False, kw_only=True)
class Sampling(Asynchronous):
    """Evaluates the points of a design, one after the other; nothing is inherited.

    Attributes:
        design: ``random``, ``latin_hypercube`` or ``sobol``. Of random and Sobol' points, a search with more
            ``evaluations`` begins with those of a shorter one; a Latin hypercube is another one for every number.
    """

    multi_objective: ClassVar[bool] = True

    design: str = "random"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(self.design in DESIGNS, "design", f"is unknown; use {', '.join(DESIGNS)}")

    def _birth(self, rng: np.random.Generator, member_id: int) -> Birth:
        return Birth(self.space.from_unit(self._points[member_id], rng))

    @cached_property
    def _points(self) -> NDArray[np.float64]:
        """Shape (evaluations, genes on a scale); made when first asked for, so only where members are made."""
        return unit_points(self.design, self.seed, self.length, len(self.space.unit_genes))
