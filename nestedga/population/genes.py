"""Genes: each a path of the configuration with a type, a range and a way to change.

Values are plain data, so that a genotype is JSON and a command line alike. Every operator takes its random generator
first. Nothing here knows a search.

Most genes lie on a scale: their values have places in [0, 1], as numbers have, and choices by their position. One
whose values are built of parts, as a network's layers, need not; searches that see a space as a cube refuse it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard

import numpy as np

from nestedga.errors import SettingError
from nestedga.population.member import GeneValue
from nestedga.population.values import distinct, is_plain, same

PERTURB_FACTORS = (0.8, 1.2)  # Jaderberg et al. 2017 (arXiv:1711.09846), section 4.1.1
MUTATION_DEVIATION = 0.1  # standard deviation in unit space; ours
SMALLEST_STEP = 0.01  # of the range: what a perturbation moves at least on a linear scale, so that 0 is no trap; ours


class Gene(Protocol):
    """One varied setting. All operators return a value for which ``contains`` holds, and change none that they get."""

    @property
    def path(self) -> str: ...

    @property
    def ends(self) -> tuple[GeneValue, ...]:
        """The outermost values of a range; all of a choice."""
        ...

    def contains(self, value: GeneValue) -> bool: ...

    def sample(self, rng: np.random.Generator) -> GeneValue:
        """A fresh value, uniform on the gene's scale where it has one."""
        ...

    def perturb(self, rng: np.random.Generator, value: GeneValue) -> GeneValue:
        """A small step, up or down with equal chance (the explore of population based training)."""
        ...

    def mutate(self, rng: np.random.Generator, value: GeneValue, deviation: float = MUTATION_DEVIATION) -> GeneValue:
        """A random step of any size, small ones likelier; ``deviation`` is its standard deviation in unit space."""
        ...

    def cross(self, rng: np.random.Generator, value: GeneValue, other: GeneValue) -> GeneValue:
        """What a child has that takes this gene of its other parent: the value there, or one made of parts of both."""
        ...


class UnitGene(Gene, Protocol):
    """A gene on a scale."""

    def to_unit(self, value: GeneValue) -> float:
        """Where the value lies on the gene's scale, in [0, 1]; a choice in the middle of its share."""
        ...

    def from_unit(self, unit: float) -> GeneValue:
        """The value at a place in [0, 1]; reverses ``to_unit``."""
        ...


def on_scale(gene: Gene) -> TypeGuard[UnitGene]:
    """Whether a gene's values have places in [0, 1]."""
    return hasattr(gene, "to_unit")  # what a runtime protocol would ask, a hundred times faster


class _Whole:
    """A gene whose value a child has whole of one parent."""

    __slots__ = ()

    def cross(self, rng: np.random.Generator, value: GeneValue, other: GeneValue) -> GeneValue:
        return other


@dataclass(frozen=True, slots=True)
class FloatGene(_Whole):
    """A real number in [low, high]; on a log scale, sampled and mutated in its logarithm."""

    path: str
    low: float
    high: float
    log: bool = False
    factors: tuple[float, float] = PERTURB_FACTORS

    @property
    def ends(self) -> tuple[GeneValue, ...]:
        return self.low, self.high

    def contains(self, value: GeneValue) -> bool:
        return isinstance(value, float) and self.low <= value <= self.high

    def sample(self, rng: np.random.Generator) -> float:
        return self.from_unit(rng.random())

    def perturb(self, rng: np.random.Generator, value: GeneValue) -> float:
        assert isinstance(value, float)
        factor = self.factors[rng.integers(2)]
        stepped = value * factor
        if not self.log:
            smallest = SMALLEST_STEP * (self.high - self.low)
            if abs(stepped - value) < smallest:
                stepped = value + math.copysign(smallest, factor - 1.0)
        return self.clip(stepped)

    def mutate(self, rng: np.random.Generator, value: GeneValue, deviation: float = MUTATION_DEVIATION) -> float:
        return self.from_unit(reflect(self.to_unit(value) + rng.normal(0.0, deviation)))

    def clip(self, value: float) -> float:
        return float(min(max(value, self.low), self.high))

    def to_unit(self, value: GeneValue) -> float:
        assert isinstance(value, float)
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(at)
        return (at - low) / (high - low)

    def from_unit(self, unit: float) -> float:
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            return self.clip(math.exp(low + unit * (high - low)))
        return self.clip(self.low + unit * (self.high - self.low))


@dataclass(frozen=True, slots=True)
class IntGene(_Whole):
    """A whole number in [low, high]; every change moves it by at least one where the range allows."""

    path: str
    low: int
    high: int
    log: bool = False
    factors: tuple[float, float] = PERTURB_FACTORS

    @property
    def ends(self) -> tuple[GeneValue, ...]:
        return self.low, self.high

    def contains(self, value: GeneValue) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def sample(self, rng: np.random.Generator) -> int:
        # Half a unit is added on both sides, so that the outermost values are as likely as the others.
        return self.from_unit(rng.random())

    def perturb(self, rng: np.random.Generator, value: GeneValue) -> int:
        assert isinstance(value, int)
        factor = self.factors[rng.integers(2)]
        return self._moved(value, round(value * factor), up=factor > 1.0)

    def mutate(self, rng: np.random.Generator, value: GeneValue, deviation: float = MUTATION_DEVIATION) -> int:
        assert isinstance(value, int)
        unit = self.to_unit(value)
        target = reflect(unit + rng.normal(0.0, deviation))
        return self._moved(value, self.from_unit(target), up=target > unit)

    def _moved(self, value: int, target: int, up: bool) -> int:
        if target == value:
            target = value + (1 if up else -1)
        return int(min(max(target, self.low), self.high))

    def _bounds(self) -> tuple[float, float]:
        low, high = self.low - 0.5, self.high + 0.5
        return (math.log(low), math.log(high)) if self.log else (low, high)

    def to_unit(self, value: GeneValue) -> float:
        assert isinstance(value, int)
        low, high = self._bounds()
        return ((math.log(value) if self.log else value) - low) / (high - low)

    def from_unit(self, unit: float) -> int:
        low, high = self._bounds()
        at = low + unit * (high - low)
        return int(min(max(round(math.exp(at) if self.log else at), self.low), self.high))


@dataclass(frozen=True, slots=True)
class _ChoiceGene(_Whole):
    """One of several values."""

    path: str
    choices: tuple[GeneValue, ...]

    @property
    def ends(self) -> tuple[GeneValue, ...]:
        return self.choices

    def contains(self, value: GeneValue) -> bool:
        return any(same(value, choice) for choice in self.choices)

    def sample(self, rng: np.random.Generator) -> GeneValue:
        return self.choices[rng.integers(len(self.choices))]

    def to_unit(self, value: GeneValue) -> float:
        return (self._index(value) + 0.5) / len(self.choices)

    def from_unit(self, unit: float) -> GeneValue:
        return self.choices[min(int(unit * len(self.choices)), len(self.choices) - 1)]

    def _index(self, value: GeneValue) -> int:
        return next(i for i, choice in enumerate(self.choices) if same(choice, value))


@dataclass(frozen=True, slots=True)
class CategoricalGene(_ChoiceGene):
    """One of several values without an order; a change draws one of the others."""

    def perturb(self, rng: np.random.Generator, value: GeneValue) -> GeneValue:
        others = [choice for choice in self.choices if not same(choice, value)]
        return others[rng.integers(len(others))] if others else value

    def mutate(self, rng: np.random.Generator, value: GeneValue, deviation: float = MUTATION_DEVIATION) -> GeneValue:
        return self.perturb(rng, value)


@dataclass(frozen=True, slots=True)
class OrdinalGene(_ChoiceGene):
    """One of several values in order; a perturbation goes to a neighbour, a mutation may go further."""

    def perturb(self, rng: np.random.Generator, value: GeneValue) -> GeneValue:
        at = self._index(value) + (1 if rng.integers(2) else -1)
        return self.choices[min(max(at, 0), len(self.choices) - 1)]

    def mutate(self, rng: np.random.Generator, value: GeneValue, deviation: float = MUTATION_DEVIATION) -> GeneValue:
        positions = IntGene(self.path, 0, len(self.choices) - 1)
        return self.choices[positions.mutate(rng, self._index(value), deviation)]


@dataclass(frozen=True, slots=True)
class ConstantGene(_Whole):
    """A value that never changes: written with the genotype, varied by nobody."""

    path: str
    value: GeneValue

    @property
    def ends(self) -> tuple[GeneValue, ...]:
        return (self.value,)

    def contains(self, value: GeneValue) -> bool:
        return same(value, self.value)

    def sample(self, rng: np.random.Generator) -> GeneValue:
        return self.value

    def perturb(self, rng: np.random.Generator, value: GeneValue) -> GeneValue:
        return self.value

    def mutate(self, rng: np.random.Generator, value: GeneValue, deviation: float = MUTATION_DEVIATION) -> GeneValue:
        return self.value

    def to_unit(self, value: GeneValue) -> float:
        return 0.5

    def from_unit(self, unit: float) -> GeneValue:
        return self.value


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
        raise SettingError(f"space.{path}: a {kind} gene {wrong}; it takes {', '.join((*required, *optional, 'when'))}")
    if kind in ("float", "int"):
        return _numeric(path, kind, spec)
    if kind == "bool":
        return CategoricalGene(path, (False, True))
    if kind == "constant":
        if not is_plain(spec["value"]):
            raise SettingError(f"space.{path}.value={spec['value']!r} must be {_PLAIN}")
        return ConstantGene(path, spec["value"])
    choices = spec["choices"]
    if not isinstance(choices, list | tuple) or not choices or not all(map(is_plain, choices)):
        raise SettingError(f"space.{path}.choices={choices!r} must be a list of one or more values, each {_PLAIN}")
    if len(distinct(choices)) < len(choices):
        raise SettingError(f"space.{path}.choices={choices!r} names a value twice; give each once")
    return (CategoricalGene if kind == "categorical" else OrdinalGene)(path, tuple(choices))


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


_PLAIN = "a number, a string, a boolean, or a list or a mapping (its keys words) of such"
_NUMBER = (("low", "high"), ("scale", "perturb"))
_KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # type: (required keys, optional keys)
    "float": _NUMBER,
    "int": _NUMBER,
    "categorical": (("choices",), ()),
    "ordinal": (("choices",), ()),
    "bool": ((), ()),
    "constant": (("value",), ()),
}


def reflect(unit: float) -> float:
    """Folds a number back into [0, 1] at both ends, so that no border collects what was drawn beyond it."""
    unit = abs(unit) % 2.0
    return 2.0 - unit if unit > 1.0 else unit
