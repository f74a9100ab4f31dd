"""A gene without a scale: a network as a list of layers."""

from __future__ import annotations

from dataclasses import dataclass

MOST, WIDEST = 4, 9


@dataclass(frozen=True, slots=True)
class LayersGene:
    """The widths of some layers, one or more."""

    path: str = "model.layers"

    @property
    def ends(self):
        return [1], [WIDEST] * MOST

    def contains(self, value):
        is_list = isinstance(value, list) and 1 <= len(value) <= MOST
        return is_list and all(type(width) is int and 1 <= width <= WIDEST for width in value)

    def sample(self, rng):
        return rng.integers(1, WIDEST + 1, size=rng.integers(1, MOST + 1)).tolist()

    def perturb(self, rng, value):
        at, step = int(rng.integers(len(value))), 1 if rng.integers(2) else -1
        return [*value[:at], min(max(value[at] + step, 1), WIDEST), *value[at + 1 :]]

    def mutate(self, rng, value, deviation=0.1):
        at, width, kind = int(rng.integers(len(value))), int(rng.integers(1, WIDEST + 1)), rng.integers(3)
        if kind == 0 and len(value) < MOST:
            return [*value[:at], width, *value[at:]]
        if kind == 1 and len(value) > 1:
            return [*value[:at], *value[at + 1 :]]
        return self.perturb(rng, value)

    def cross(self, rng, value, other):
        cut = int(rng.integers(1, len(value) + 1))
        return (value[:cut] + other[cut:])[:MOST]
