"""Multiple-frequencies population based training: sub-populations that exploit seldom, beside some that do so often.

Doulazmi et al. 2025, "Multiple-Frequencies Population-Based Training" (arXiv:2506.03225); details after the authors'
code (github.com/WaelDLZ/MF-PBT, hpo/utils/mf_pbt_genetics.py).

    sub-population i evolves after every delta_i ready intervals; in between its lines just go on
        internal:  the worst quarter copies the best quarter, rank by rank, and explores
        migration: the third quarter, best first, meets the best lines of all other sub-populations, best first;
                   where the migrant is better, the line takes its weights (each migrant once), and as genes
                       the migrant's             where the migrant's sub-population evolves less often
                       its own best line's       where it evolves more often: greedy genes never reach steady lines
                   without exploring
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nestedga.search.base import Birth
from nestedga.search.pbt.exploit import num_replaced
from nestedga.search.pbt.lines import Line
from nestedga.search.pbt.pbt import PBT


@dataclass(eq=False, kw_only=True)
class MultipleFrequencies(PBT):
    """Population based training in sub-populations of equal size; slots one after another belong together.

    A failed slot copies one of its sub-population's best at once; where all of these failed, the best of all: ours.

    Attributes:
        frequencies: delta, one for each sub-population, 1 or more, rising. The authors use 1, 10, 25 and 50 in runs of
            1,000 intervals; the default is ours, for runs of tens of intervals.
        truncation: the fraction of a sub-population replaced internally; what is left of its worse half meets
            migrants. Default 0.25: the paper's.
    """

    takes_immigrants: ClassVar[bool] = False

    frequencies: Sequence[int] = (1, 2, 5, 10)
    truncation: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        num, rising = len(self.frequencies), sorted(set(self.frequencies))
        complaint = "must be whole numbers of 1 or more, each above the one before, as in [1, 2, 5]"
        self.check(rising == list(self.frequencies) and num > 0 and rising[0] >= 1, "frequencies", complaint)
        complaint = f"must give each of the {num} sub-populations that frequencies names as many slots, 2 or more"
        self.check(self.population_size % num == 0 and self.population_size >= 2 * num, "population_size", complaint)
        self.check(self.exploit == "truncation", "exploit", "has no place in this search; leave it at truncation")
        self._size = self.population_size // num
        self._donors: dict[int, Line] = {}  # whom a slot copies if its sub-population evolves now
        self._leaders: dict[int, Line] = {}  # the best line of each sub-population, by number

    def _frequency(self, line: Line) -> int:
        return self.frequencies[line.slot // self._size]

    def _is_ready(self, line: Line) -> bool:
        generation = line.member.generation + 1
        return generation >= self.burn_in and generation % (self.ready * self._frequency(line)) == 0

    def _turned(self) -> None:
        super()._turned()
        self._donors, self._leaders = {}, {}
        if self._standings.order:
            for number in range(len(self.frequencies)):
                self._pair(number)

    def _pair(self, number: int) -> None:
        """Finds donors for one sub-population."""
        order = self._standings.order
        place = {line.slot: at for at, line in enumerate(order)}
        ours = [line for line in order if line.slot // self._size == number]
        slots = range(number * self._size, (number + 1) * self._size)
        failed = [line for slot in slots if not (line := self._standings.lines[slot]).ok]
        if ours:
            self._leaders[number] = ours[0]
        replaced = num_replaced(self.truncation, self._size)
        winners = ours[:replaced] or order[:1]
        for rank, line in enumerate(ours + failed, start=replaced - self._size):
            if rank >= 0 or not line.ok:
                self._donors[line.slot] = winners[rank % len(winners)]
        migrants = iter([line for line in order if line.slot // self._size != number])
        migrant = next(migrants, None)
        for line in ours[self._size // 2 : self._size - replaced]:
            if migrant is not None and place[migrant.slot] < place[line.slot]:
                self._donors[line.slot] = migrant
                migrant = next(migrants, None)

    def _exploit(self, rng: np.random.Generator, line: Line) -> Line | None:
        return self._donors.get(line.slot)

    def _copied(self, rng: np.random.Generator, line: Line, donor: Line) -> Birth:
        if self._frequency(donor) == self._frequency(line):
            return super()._copied(rng, line, donor)
        greedy = self._frequency(donor) < self._frequency(line)
        genes_from = self._leaders.get(line.slot // self._size, donor) if greedy else donor
        return self._bred(line, genes_from.member.genotype, genes_from=genes_from, weights_from=donor)
