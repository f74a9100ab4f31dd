"""Demes: sub-populations that breed among themselves, and now and then take in migrants of each other.

Several small populations explore apart and lose their variety one by one, not all at once: Cantú-Paz 1998, "A Survey
of Parallel Genetic Algorithms".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TOPOLOGIES = ("ring", "random")


@dataclass(frozen=True, slots=True)
class Demes:
    """Neighbouring slots, in shares that differ by one at most.

    Attributes:
        num_slots: of all demes.
        num: how many demes, from 1 to num_slots.
        topology: where migrants come from: ``ring``, the deme before; ``random``, any other with equal chance.
    """

    num_slots: int
    num: int
    topology: str

    def slots(self, deme: int) -> range:
        return range(deme * self.num_slots // self.num, (deme + 1) * self.num_slots // self.num)

    def of(self, slot: int) -> int:
        """The deme of a slot."""
        return ((slot + 1) * self.num - 1) // self.num_slots

    def source(self, rng: np.random.Generator, deme: int) -> int:
        """The deme whose migrants come to this one; itself where there is no other."""
        if self.topology == "ring" or self.num == 1:
            return (deme - 1) % self.num
        return (deme + 1 + int(rng.integers(self.num - 1))) % self.num
