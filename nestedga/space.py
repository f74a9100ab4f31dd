"""What a search may vary: genes, each a path of the configuration with a type, a range and a way to change.

Values are plain Python (float, int, bool, str), so that a genotype is JSON and a command line alike.
Every operator takes its random generator first. Nothing here knows a search.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from nestedga.errors import SettingError
from nestedga.member import GeneValue, Genotype

PERTURB_FACTORS = (0.8, 1.2)  # Jaderberg et al. 2017 (arXiv:1711.09846), section 4.1.1
MUTATION_DEVIATION = 0.1  # standard deviation in unit space; ours
SMALLEST_STEP = 0.01  # of the range: what a perturbation moves at least on a linear scale, so that 0 is no trap; ours


class Gene(Protocol):
    """One varied setting. All operators return a value for which ``contains`` holds."""

    @property
    def path(self) -> str: ...

    def contains(self, value: GeneValue) -> bool: ...

    def sample(self, rng: np.random.Generator) -> GeneValue:
        """A fresh value, uniform on the gene's scale."""
        ...

    def perturb(self, rng: np.random.Generator, value: GeneValue) -> GeneValue:
        """A small step, up or down with equal chance (the explore of population based training)."""
        ...

    def mutate(self, rng: np.random.Generator, value: GeneValue) -> GeneValue:
        """A random step of any size, small ones likelier (the mutation of a genetic algorithm)."""
        ...


@dataclass(frozen=True, slots=True)
class FloatGene:
    """A real number in [low, high]; on a log scale, sampled and mutated in its logarithm."""

    path: str
    low: float
    high: float
    log: bool = False
    factors: tuple[float, float] = PERTURB_FACTORS

    def contains(self, value: GeneValue) -> bool:
        return isinstance(value, float) and self.low <= value <= self.high

    def sample(self, rng: np.random.Generator) -> float:
        return self.from_unit(rng.random())

    def perturb(self, rng: np.random.Generator, value: GeneValue) -> float:
        factor = self.factors[rng.integers(2)]
        stepped = float(value) * factor
        if not self.log:
            smallest = SMALLEST_STEP * (self.high - self.low)
            if abs(stepped - float(value)) < smallest:
                stepped = float(value) + math.copysign(smallest, factor - 1.0)
        return self.clip(stepped)

    def mutate(self, rng: np.random.Generator, value: GeneValue) -> float:
        return self.from_unit(_reflect(self.to_unit(float(value)) + rng.normal(0.0, MUTATION_DEVIATION)))

    def clip(self, value: float) -> float:
        return float(min(max(value, self.low), self.high))

    def to_unit(self, value: float) -> float:
        low, high, at = (
            (math.log(x) for x in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        )
        return (at - low) / (high - low)

    def from_unit(self, unit: float) -> float:
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            return self.clip(math.exp(low + unit * (high - low)))
        return self.clip(self.low + unit * (self.high - self.low))


@dataclass(frozen=True, slots=True)
class IntGene:
    """A whole number in [low, high]; every change moves it by at least one where the range allows."""

    path: str
    low: int
    high: int
    log: bool = False
    factors: tuple[float, float] = PERTURB_FACTORS

    def contains(self, value: GeneValue) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def sample(self, rng: np.random.Generator) -> int:
        # Half a unit is added on both sides, so that the outermost values are as likely as the others.
        return self._from_unit(rng.random())

    def perturb(self, rng: np.random.Generator, value: GeneValue) -> int:
        factor = self.factors[rng.integers(2)]
        return self._moved(int(value), round(int(value) * factor), up=factor > 1.0)

    def mutate(self, rng: np.random.Generator, value: GeneValue) -> int:
        unit = self._to_unit(int(value))
        target = _reflect(unit + rng.normal(0.0, MUTATION_DEVIATION))
        return self._moved(int(value), self._from_unit(target), up=target > unit)

    def _moved(self, value: int, target: int, up: bool) -> int:
        if target == value:
            target = value + (1 if up else -1)
        return int(min(max(target, self.low), self.high))

    def _bounds(self) -> tuple[float, float]:
        low, high = self.low - 0.5, self.high + 0.5
        return (math.log(low), math.log(high)) if self.log else (low, high)

    def _to_unit(self, value: int) -> float:
        low, high = self._bounds()
        return ((math.log(value) if self.log else value) - low) / (high - low)

    def _from_unit(self, unit: float) -> int:
        low, high = self._bounds()
        at = low + unit * (high - low)
        return int(min(max(round(math.exp(at) if self.log else at), self.low), self.high))


@dataclass(frozen=True, slots=True)
class CategoricalGene:
    """One of several values without an order; a change draws one of the others."""

    path: str
    choices: tuple[GeneValue, ...]

    def contains(self, value: GeneValue) -> bool:
        return any(_same(value, choice) for choice in self.choices)

    def sample(self, rng: np.random.Generator) -> GeneValue:
        return self.choices[rng.integers(len(self.choices))]

    def perturb(self, rng: np.random.Generator, value: GeneValue) -> GeneValue:
        others = [choice for choice in self.choices if not _same(choice, value)]
        return others[rng.integers(len(others))] if others else value

    mutate = perturb


@dataclass(frozen=True, slots=True)
class OrdinalGene:
    """One of several values in order; a perturbation goes to a neighbour, a mutation may go further."""

    path: str
    choices: tuple[GeneValue, ...]

    def contains(self, value: GeneValue) -> bool:
        return any(_same(value, choice) for choice in self.choices)

    def sample(self, rng: np.random.Generator) -> GeneValue:
        return self.choices[rng.integers(len(self.choices))]

    def perturb(self, rng: np.random.Generator, value: GeneValue) -> GeneValue:
        at = self._index(value) + (1 if rng.integers(2) else -1)
        return self.choices[min(max(at, 0), len(self.choices) - 1)]

    def mutate(self, rng: np.random.Generator, value: GeneValue) -> GeneValue:
        positions = IntGene(self.path, 0, len(self.choices) - 1)
        return self.choices[positions.mutate(rng, self._index(value))]

    def _index(self, value: GeneValue) -> int:
        return next(i for i, choice in enumerate(self.choices) if _same(choice, value))


@dataclass(frozen=True, slots=True)
class ConstantGene:
    """A value that never changes: written with the genotype, varied by nobody."""

    path: str
    value: GeneValue

    def contains(self, value: GeneValue) -> bool:
        return _same(value, self.value)

    def sample(self, rng: np.random.Generator) -> GeneValue:
        return self.value

    def perturb(self, rng: np.random.Generator, value: GeneValue) -> GeneValue:
        return self.value

    mutate = perturb


@dataclass(frozen=True, slots=True)
class Space:
    """The genes of a search, in the order of their paths, so that draws do not depend on how a file was written."""

    genes: tuple[Gene, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "genes", tuple(sorted(self.genes, key=lambda gene: gene.path)))

    def __iter__(self) -> Iterator[Gene]:
        return iter(self.genes)

    def __len__(self) -> int:
        return len(self.genes)

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(gene.path for gene in self.genes)

    def contains(self, genotype: Genotype) -> bool:
        return set(genotype) == set(self.paths) and all(gene.contains(genotype[gene.path]) for gene in self.genes)

    def sample(self, rng: np.random.Generator) -> Genotype:
        return {gene.path: gene.sample(rng) for gene in self.genes}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Space:
        """Reads the ``space`` section: a mirror of the configuration whose leaves have a ``type``.

        Raises:
            SettingError: for an unknown type or key, a reversed range, a log range that touches zero.
        """
        return cls(tuple(_leaves(config, "")))


def _leaves(node: Mapping[str, Any], path: str) -> Iterator[Gene]:
    for key, child in node.items():
        at = f"{path}.{key}" if path else str(key)
        if child is None:
            continue  # a gene that an experiment or a command line has taken out: space.optimizer.lr=null
        if not isinstance(child, Mapping):
            raise SettingError(
                f"space.{at}={child!r} is not a gene; give it a type, as in {{type: float, low: 0, high: 1}}"
            )
        yield from [gene_from_config(at, child)] if isinstance(child.get("type"), str) else _leaves(child, at)


def gene_from_config(path: str, leaf: Mapping[str, Any]) -> Gene:
    """One gene from its leaf of the ``space`` section."""
    spec = dict(leaf)
    kind = spec.pop("type")
    allowed = _KEYS.get(kind)
    if allowed is None:
        raise SettingError(f"space.{path}.type={kind!r} is unknown; known types: {', '.join(_KEYS)}")
    required, optional = allowed
    unknown, missing = (
        set(spec) - set(required) - set(optional),
        [key for key in required if spec.get(key) is None],
    )
    if unknown or missing:
        wrong = f"has no use for {sorted(unknown)}" if unknown else f"lacks {missing}"
        raise SettingError(f"space.{path}: a {kind} gene {wrong}; it takes {', '.join((*required, *optional))}")
    if kind in ("float", "int"):
        return _numeric(path, kind, spec)
    if kind == "bool":
        return CategoricalGene(path, (False, True))
    if kind == "constant":
        return ConstantGene(path, spec["value"])
    choices = tuple(spec["choices"])
    if not choices or any(not isinstance(choice, float | int | str) for choice in choices):
        raise SettingError(
            f"space.{path}.choices={list(choices)!r} must be a list of one or more numbers, strings or booleans"
        )
    if len({(type(choice), choice) for choice in choices}) < len(choices):
        raise SettingError(f"space.{path}.choices={list(choices)!r} names a value twice; give each once")
    return (CategoricalGene if kind == "categorical" else OrdinalGene)(path, choices)


def _numeric(path: str, kind: str, spec: dict[str, Any]) -> Gene:
    low, high, scale = spec["low"], spec["high"], spec.get("scale", "linear")
    factors = spec.get("perturb", PERTURB_FACTORS)
    for name, bound in (("low", low), ("high", high)):
        whole = isinstance(bound, int) or (isinstance(bound, float) and bound.is_integer())
        if isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound):
            raise SettingError(f"space.{path}.{name}={bound!r} is not a number")
        if kind == "int" and not whole:
            raise SettingError(f"space.{path}.{name}={bound!r} is not a whole number; use one, or type: float")
    if scale not in ("linear", "log"):
        raise SettingError(f"space.{path}.scale={scale!r} is unknown; known scales: linear, log")
    if low >= high:
        hint = f"for one fixed value use {{type: constant, value: {low}}}" if low == high else "swap them"
        raise SettingError(f"space.{path}: low={low} is not below high={high}; {hint}")
    if scale == "log" and low <= 0:
        raise SettingError(f"space.{path}: low={low} on a log scale touches zero; use low > 0 or scale: linear")
    if len(factors) != 2 or not 0.0 < factors[0] < 1.0 < factors[1]:
        raise SettingError(
            f"space.{path}.perturb={list(factors)!r} must be one factor below and one above 1, as in [0.8, 1.2]"
        )
    shrink, grow = float(factors[0]), float(factors[1])
    if kind == "float":
        return FloatGene(path, float(low), float(high), scale == "log", (shrink, grow))
    return IntGene(path, int(low), int(high), scale == "log", (shrink, grow))


_NUMBER = (("low", "high"), ("scale", "perturb"))
_KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # type: (required keys, optional keys)
    "float": _NUMBER,
    "int": _NUMBER,
    "categorical": (("choices",), ()),
    "ordinal": (("choices",), ()),
    "bool": ((), ()),
    "constant": (("value",), ()),
}


def _reflect(unit: float) -> float:
    """Folds a number back into [0, 1] at both ends, so that no border collects what was drawn beyond it."""
    unit = abs(unit) % 2.0
    return 2.0 - unit if unit > 1.0 else unit


def _same(a: GeneValue, b: GeneValue) -> bool:
    return type(a) is type(b) and a == b  # True == 1 in Python, but not in a configuration
