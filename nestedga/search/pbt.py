"""Population based training with truncation selection, generation by generation.

Jaderberg et al. 2017, "Population Based Training of Neural Networks" (arXiv:1711.09846), section 4.1.

    every slot trains one interval
    the worst q of the slots exploit: take weights and genes of one of the best q, drawn uniformly
                         and explore: each gene is resampled with probability p, else perturbed
    all others go on with their own weights and genes
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nestedga.errors import SettingError
from nestedga.member import Evaluation, Genotype, Member
from nestedga.search.base import Generational
from nestedga.space import Space


class PBT(Generational):
    """Generational population based training.

    Args:
        space: the genes.
        seed: of all draws.
        population_size: slots, 2 or more.
        generations: intervals of every slot.
        budget: length of an interval (the paper's "ready" interval).
        inherit: ``weights``, or ``none`` to copy hyperparameters only.
        truncation: q, the fraction replaced; ``max(1, round(q * n))`` slots, never more than half. Default 0.2: the
            paper's, section 4.1.
        resample: p, the probability that exploring draws a gene afresh instead of perturbing it; 0.25, the
            default of Ray Tune's implementation.
    """

    def __init__(
        self,
        space: Space,
        *,
        seed: int,
        population_size: int,
        generations: int,
        budget: int,
        inherit: str = "weights",
        truncation: float = 0.2,
        resample: float = 0.25,
    ) -> None:
        super().__init__(
            space,
            seed=seed,
            population_size=population_size,
            generations=generations,
            budget=budget,
            inherit=inherit,
        )
        if not 0.0 < truncation <= 0.5:
            raise SettingError(
                f"search.truncation={truncation} must be above 0 and at most 0.5: half cannot copy more than half"
            )
        if not 0.0 <= resample <= 1.0:
            raise SettingError(f"search.resample={resample} is no probability; use a number from 0 to 1")
        self.truncation = truncation
        self.resample = resample

    def _child(
        self, rng: np.random.Generator, slot: int, viable: Sequence[tuple[Member, Evaluation]]
    ) -> tuple[Genotype, tuple[int, ...], tuple[int, ...]]:
        num_replaced = min(max(1, round(self.truncation * self.population_size)), self.population_size // 2)
        num_top = min(num_replaced, len(viable))
        # A slot whose member failed is always replaced; of the others, the worst.
        num_failed = self.population_size - len(viable)
        goes_on = viable[: len(viable) - max(0, num_replaced - num_failed)] or viable[:1]
        for member, _ in goes_on:
            if member.slot == slot:
                return member.genotype, (member.id,), (member.id,)
        donor = viable[int(rng.integers(num_top))][0]
        genotype = {
            gene.path: gene.sample(rng)
            if rng.random() < self.resample
            else gene.perturb(rng, donor.genotype[gene.path])
            for gene in self.space
        }
        return genotype, (donor.id,), (donor.id,)
