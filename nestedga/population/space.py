"""What a search may vary: a set of genes, and on what it hangs whether a gene is active.

A gene may hang on another's value (``when``): while the condition does not hold, the genotype has no value for it, and
the setting keeps what the configuration says.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nestedga.errors import SettingError
from nestedga.population.genes import ConstantGene, FloatGene, Gene, UnitGene, gene_from_config, on_scale
from nestedga.population.member import GeneValue, Genotype
from nestedga.population.values import same

Condition = tuple[tuple[str, tuple[GeneValue, ...]], ...]
"""Paths of other genes, each with the values of which it must have one; all must hold."""


@dataclass(frozen=True, slots=True)
class Space:
    """The genes of a search, in the order of their paths, so that draws do not depend on how a file was written.

    Args:
        genes: each path once.
        conditions: for genes that are active only while others have certain values. A gene whose condition names an
            inactive gene is inactive.

    Attributes:
        unit_genes: those of the genes that lie on a scale: the axes of unit space.

    Raises:
        SettingError: a condition names a gene that is not there or a value that it cannot have, or conditions go round
            in a ring.
    """

    genes: tuple[Gene, ...]
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    unit_genes: tuple[UnitGene, ...] = field(init=False, repr=False, compare=False)
    _by_path: dict[str, Gene] = field(init=False, repr=False, compare=False)
    _parents_first: tuple[Gene, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "genes", tuple(sorted(self.genes, key=lambda gene: gene.path)))
        object.__setattr__(self, "unit_genes", tuple(gene for gene in self.genes if on_scale(gene)))
        object.__setattr__(self, "_by_path", {gene.path: gene for gene in self.genes})
        in_order = {path: tuple(sorted(self.conditions[path], key=lambda c: c[0])) for path in sorted(self.conditions)}
        object.__setattr__(self, "conditions", in_order)
        if len(self._by_path) < len(self.genes):
            twice = next(a.path for a, b in itertools.pairwise(self.genes) if a.path == b.path)
            raise SettingError(f"space.{twice} is given twice; give each gene once")
        for path, condition in self.conditions.items():
            self._check_condition(path, condition)
        object.__setattr__(self, "_parents_first", self._sorted_by_conditions())

    def __iter__(self) -> Iterator[Gene]:
        return iter(self.genes)

    def __len__(self) -> int:
        return len(self.genes)

    def __getitem__(self, path: str) -> Gene:
        return self._by_path[path]

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(gene.path for gene in self.genes)

    @property
    def free(self) -> tuple[Gene, ...]:
        """The genes that can vary at all."""
        return tuple(gene for gene in self.genes if not isinstance(gene, ConstantGene))

    def is_active(self, path: str, genotype: Genotype) -> bool:
        """Whether a gene's condition holds for the other values of a genotype."""
        condition = self.conditions.get(path)
        return condition is None or all(
            parent in genotype and any(same(genotype[parent], value) for value in values)
            for parent, values in condition
        )

    def contains(self, genotype: Genotype) -> bool:
        """Whether the genotype has a possible value for every active gene and nothing else."""
        return set(genotype) <= self._by_path.keys() and all(
            (gene.path in genotype and gene.contains(genotype[gene.path]))
            if self.is_active(gene.path, genotype)
            else gene.path not in genotype
            for gene in self.genes
        )

    def sample(self, rng: np.random.Generator) -> Genotype:
        return self.completed(rng, {})

    def completed(self, rng: np.random.Generator, genotype: Genotype) -> Genotype:
        """The genotype without values of genes that are not active, and with fresh values where active ones lack one.

        What a change of one gene may leave behind; breeding ends with this.
        """
        return self.made(lambda gene: genotype[gene.path] if gene.path in genotype else gene.sample(rng))

    def made(self, value_of: Callable[[Gene], GeneValue]) -> Genotype:
        """The genotype whose values are asked for one by one: of active genes only, and of a gene after its parents."""
        genotype: Genotype = {}
        for gene in self._parents_first:
            if self.is_active(gene.path, genotype):
                genotype[gene.path] = value_of(gene)
        return {gene.path: genotype[gene.path] for gene in self.genes if gene.path in genotype}

    def to_unit(self, genotype: Genotype) -> NDArray[np.float64]:
        """The genotype as a point, shape (len(unit_genes),), each in [0, 1]; NaN for genes that are not active."""
        return np.array(
            [gene.to_unit(genotype[gene.path]) if gene.path in genotype else math.nan for gene in self.unit_genes]
        )

    def from_unit(
        self, point: Sequence[float] | NDArray[np.float64], rng: np.random.Generator | None = None
    ) -> Genotype:
        """The genotype at a point; numbers for genes that turn out inactive are ignored.

        Args:
            point: shape (len(unit_genes),).
            rng: draws the genes that have no place in unit space; None where there are none.
        """
        at = {gene.path: unit for gene, unit in zip(self.unit_genes, point, strict=True)}

        def value_of(gene: Gene) -> GeneValue:
            if on_scale(gene):
                return gene.from_unit(min(max(float(at[gene.path]), 0.0), 1.0))
            assert rng is not None, f"{gene.path} has no place in unit space"
            return gene.sample(rng)

        return self.made(value_of)

    def subspace(self, paths: Collection[str]) -> Space:
        """The space of some of the genes; conditions must lie among them.

        Raises:
            SettingError: a condition would be cut in two.
        """
        return Space(
            tuple(gene for gene in self.genes if gene.path in paths),
            {path: condition for path, condition in self.conditions.items() if path in paths},
        )

    def _check_condition(self, path: str, condition: Condition) -> None:
        if path not in self._by_path:
            raise SettingError(f"space.{path}.when: there is no gene {path} in this space")
        for parent, values in condition:
            gene = self._by_path.get(parent)
            if gene is None:
                raise SettingError(
                    f"space.{path}.when names {parent!r}, which is no gene of this space; it has "
                    f"{', '.join(self.paths)}"
                )
            if isinstance(gene, FloatGene):
                raise SettingError(
                    f"space.{path}.when: the gene {parent} is a real number, which hardly ever is exactly "
                    f"{list(values)}; name an int, ordinal, categorical or bool gene"
                )
            if not values:
                raise SettingError(f"space.{path}.when.{parent}=[] never holds; name one value or more")
            for value in values:
                if not gene.contains(value):
                    hint = "; a list names several values: put it into another" if gene.contains([*values]) else ""
                    raise SettingError(f"space.{path}.when: the gene {parent} never has the value {value!r}{hint}")

    def _sorted_by_conditions(self) -> tuple[Gene, ...]:
        needs = {gene.path: [parent for parent, _ in self.conditions.get(gene.path, ())] for gene in self.genes}
        try:
            return tuple(self._by_path[path] for path in TopologicalSorter(needs).static_order())
        except CycleError as error:
            ring = " -> ".join(error.args[1])
            raise SettingError(f"space: conditions go round in a ring: {ring}") from error

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Space:
        """Reads the ``space`` section: a mirror of the configuration whose leaves have a ``type``.

        Raises:
            SettingError: for an unknown type or key, a reversed range, a log range that touches zero, a condition that
                cannot hold.
        """
        leaves = list(_leaves(config, ""))
        return cls(
            tuple(gene_from_config(path, {key: leaf[key] for key in leaf if key != "when"}) for path, leaf in leaves),
            {path: _condition(path, leaf["when"]) for path, leaf in leaves if "when" in leaf},
        )


def _leaves(node: Mapping[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each gene's path and keys; below a config group's gene, as ``model``, there may lie others: ``model.width``."""
    for key, child in node.items():
        at = f"{path}.{key}" if path else str(key)
        if child is None:
            continue  # a gene that an experiment or a command line has taken out: space.optimizer.lr=null
        if not isinstance(child, Mapping):
            raise SettingError(
                f"space.{at}={child!r} is not a gene; give it a type, as in {{type: float, low: 0, high: 1}}"
            )
        is_gene = isinstance(child.get("type"), str)
        mappings = (
            ("when", "value") if child.get("type") == "constant" else ("when",)
        )  # keys of a gene, not others below
        own = {k: v for k, v in child.items() if is_gene and (k in mappings or not isinstance(v, Mapping))}
        if is_gene:
            yield at, {k: v for k, v in own.items() if v is not None}
        yield from _leaves({k: v for k, v in child.items() if k not in own}, at)


def _condition(path: str, when: Any) -> Condition:
    if not isinstance(when, Mapping) or not when:
        raise SettingError(
            f"space.{path}.when={when!r} must name another gene and its values, as in {{optimizer: adam}}"
        )
    return tuple(
        (parent, tuple(values) if isinstance(values, list | tuple) else (values,)) for parent, values in _flat(when, "")
    )


def _flat(node: Mapping[str, Any], at: str) -> Iterator[tuple[str, Any]]:
    """A condition's paths and values, written as ``{a.b: 1}`` or, as overrides of it are, ``{a: {b: 1}}``."""
    for key, child in node.items():
        path = f"{at}.{key}" if at else str(key)
        yield from _flat(child, path) if isinstance(child, Mapping) else [(path, child)]
