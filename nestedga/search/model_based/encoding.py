"""Many points of a space at once: numbers in [0, 1], shape (n, len(space)), NaN for genes that are not active."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nestedga.population.genes import CategoricalGene, ConstantGene, IntGene, OrdinalGene, UnitGene
from nestedga.population.space import Space

Floats = NDArray[np.float64]

INACTIVE = -1.0  # outside [0, 1], so that one split tells apart who has a gene and who has not
MANY = 10_000  # values; an integer gene that has more is as good as a real one
STEPS = (-8.0, -2.0)  # a mutation's standard deviation is 2 to the power of a number drawn between these; ours


class Encoding:
    """A space's points as arrays.

    Args:
        space: whose genes all lie on a scale.
    """

    def __init__(self, space: Space) -> None:
        self._genes = space.unit_genes
        self._places = [_places(gene) for gene in self._genes]
        column = {gene.path: i for i, gene in enumerate(self._genes)}
        self._conditions = [
            (column[path], column[other], [self._genes[column[other]].to_unit(value) for value in values])
            for path, condition in space.conditions.items()
            for other, values in condition
        ]

    def snapped(self, points: Floats) -> Floats:
        """Points without NaN, moved to the nearest values that genes can have; NaN where these are not active."""
        snapped = points.copy()
        for i, places in enumerate(self._places):
            if places is not None:
                snapped[:, i] = places[np.searchsorted((places[1:] + places[:-1]) / 2, points[:, i])]
        # Who hangs on a gene that is not active is not active either, and so on.
        num_inactive = -1
        while num_inactive != (num_inactive := int(np.isnan(snapped).sum())):
            for i, other, units in self._conditions:
                snapped[~np.isin(snapped[:, other], units), i] = np.nan
        return snapped

    def features(self, points: Floats) -> NDArray[np.float32]:
        """What trees split, shape (n, num_features): a column for each gene, one for each of several unordered choices.

        Args:
            points: as ``snapped`` gives them.
        """
        columns = []
        for gene, places, column in zip(self._genes, self._places, points.T, strict=True):
            if isinstance(gene, CategoricalGene) and places is not None and len(places) > 2:
                columns += [np.where(np.isnan(column), INACTIVE, column == place) for place in places]
            else:
                columns.append(np.where(np.isnan(column), INACTIVE, column))
        return np.stack(columns, axis=1, dtype=np.float32)

    def mutants(self, rng: np.random.Generator, parents: Floats, n: int) -> Floats:
        """n points near some of the parents, without NaN.

        Of each, one gene on average and one at least is mutated: by a normal step, small and large ones alike; an
        unordered one is drawn afresh.

        Args:
            rng: of the draws.
            parents: as ``snapped`` gives them.
            n: how many.
        """
        width = parents.shape[1]
        chosen = parents[rng.integers(len(parents), size=n)]
        fresh = rng.random((n, width))
        chosen = np.where(np.isnan(chosen), fresh, chosen)
        mutated = rng.random((n, width)) < 1.0 / width
        mutated[np.arange(n), rng.integers(width, size=n)] = True
        deviation = 2.0 ** rng.uniform(*STEPS, size=(n, 1))
        stepped = np.abs(chosen + deviation * rng.standard_normal((n, width))) % 2.0
        stepped = np.minimum(stepped, 2.0 - stepped)  # folded back into [0, 1] at both ends
        return np.where(mutated, np.where(self._unordered, fresh, stepped), chosen)

    @cached_property
    def _unordered(self) -> NDArray[np.bool_]:
        return np.array([isinstance(gene, CategoricalGene) for gene in self._genes])


def _places(gene: UnitGene) -> Floats | None:
    """Where in [0, 1] a gene's values lie, in order; None for a real number."""
    if isinstance(gene, IntGene) and gene.high - gene.low < MANY:
        return np.array([gene.to_unit(value) for value in range(gene.low, gene.high + 1)])
    if isinstance(gene, CategoricalGene | OrdinalGene):
        return np.array([gene.to_unit(choice) for choice in gene.choices])
    if isinstance(gene, ConstantGene):
        return np.array([gene.to_unit(gene.value)])
    return None
