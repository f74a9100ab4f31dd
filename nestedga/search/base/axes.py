"""The axes of searches that see a space as a cube: one for each gene that has more than one value."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nestedga.population.genes import ConstantGene, Gene
from nestedga.population.member import Genotype
from nestedga.population.space import Space


class Axes:
    """Genes that vary, and the way between genotypes and points of the unit cube that they span.

    Args:
        space: without conditions, and all genes on a scale.

    Attributes:
        genes: one for each axis.
    """

    def __init__(self, space: Space) -> None:
        self.genes = tuple(gene for gene in space.unit_genes if not _is_fixed(gene))
        self._space = space

    def genotype(self, unit: ArrayLike) -> Genotype:
        """Of a point, shape (len(genes),); fixed genes have their value."""
        at = dict(zip((gene.path for gene in self.genes), np.asarray(unit), strict=True))
        return self._space.from_unit([at.get(path, 0.5) for path in self._space.paths])

    def unit(self, genotype: Genotype) -> NDArray[np.float64]:
        """The point of a genotype, shape (len(genes),)."""
        return np.array([gene.to_unit(genotype[gene.path]) for gene in self.genes])


def _is_fixed(gene: Gene) -> bool:
    return isinstance(gene, ConstantGene) or len(getattr(gene, "choices", (0, 1))) == 1
