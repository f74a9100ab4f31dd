"""Population based training with truncation selection, generation by generation.

Jaderberg et al. 2017, "Population Based Training of Neural Networks" (arXiv:1711.09846), section 4.1.

    every slot trains one interval
    the worst q of the slots exploit: take weights and genes of one of the best q, drawn uniformly
                         and explore: each gene is resampled with probability p, else perturbed
    all others go on with their own weights and genes
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nestedga.member import Evaluation, Member
from nestedga.search.base import Birth, Generational
from nestedga.search.operators import explore


@dataclass(eq=False, kw_only=True)
class PBT(Generational):
    """Generational population based training; ``budget`` is the paper's "ready" interval.

    Attributes:
        truncation: q, the fraction replaced; ``max(1, round(q * n))`` slots, never more than half. Default 0.2: the
            paper's, section 4.1.
        resample: p, the probability that exploring draws a gene afresh instead of perturbing it; 0.25, the
            default of Ray Tune's implementation.
    """

    truncation: float = 0.2
    resample: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(
            0.0 < self.truncation <= 0.5,
            "truncation",
            "must be above 0 and at most 0.5: half cannot copy more than half",
        )
        self.check(0.0 <= self.resample <= 1.0, "resample", "is no probability; use a number from 0 to 1")

    def _child(self, rng: np.random.Generator, slot: int, viable: Sequence[tuple[Member, Evaluation]]) -> Birth:
        num_replaced = min(max(1, round(self.truncation * self.population_size)), self.population_size // 2)
        num_top = min(num_replaced, len(viable))
        # A slot whose member failed is always replaced; of the others, the worst.
        num_failed = self.population_size - len(viable)
        goes_on = viable[: len(viable) - max(0, num_replaced - num_failed)] or viable[:1]
        for member, _ in goes_on:
            if member.slot == slot:
                return Birth(member.genotype, (member.id,), (member.id,))
        donor = viable[int(rng.integers(num_top))][0]
        genotype = explore(rng, self.space, donor.genotype, self.resample)
        return Birth(genotype, (donor.id,), (donor.id,))
