"""FIRE PBT: population based training that looks at the rate of improvement, and so is less greedy.

Dalibard and Jaderberg 2021, "Faster Improvement Rate Population Based Training" (arXiv:2109.13800). Of two networks of
like performance that train with like hyperparameters, the one that improves faster ends up better. Slots are parted:

    greedy      P1: population based training by figure of merit
    parents     P2: population based training by improvement: the sum over all others j of advantage(i, j)
    evaluators  H:  train a parent's weights with the genes of the best greedy line (the child), and so show
                    how fast the parent would improve if it became greedy

    advantage(a, b) = best(a) - best(b) where the smoothed training curves overlap: from where the one that begins worse
                      has reached the other's beginning, as far as both go
    p(a, b)         = one-sided sign test that a is ahead of b there
    an evaluator succeeds if advantage(evaluator, child) > 0 and p < significance: the child takes its weights
    it stops       if the child or the parent is replaced, if without overlap after max_trial intervals,
                   or if p > significance + max(0, 1 - intervals / max_trial)
    then it takes the parent that has waited longest

Simpler than the paper: one parent sub-population; everything happens after whole intervals; curves are smoothed by an
exponential moving average. Details follow the replication of Chebykin, Alderliesten and Bosman 2025, "To Be Greedy, or
Not to Be" (TMLR, openreview.net/forum?id=3qmnxysNbi; github.com/AwesomeLemon/PBT-Zoo).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from nestedga.population.member import Member
from nestedga.search.base import Birth
from nestedga.search.pbt.exploit import is_replaced, truncation
from nestedga.search.pbt.lines import Line
from nestedga.search.pbt.pbt import PBT

SMOOTHING = 0.5  # weight of the newest point in the moving average; ours
NUM_SHIFTS = 10  # with which a curve that is ahead everywhere is moved to overlap; the replication's


@dataclass(frozen=True, slots=True)
class Trial:
    """What an evaluator tries: slots of parent and child, and the generation of its first interval."""

    parent: int
    child: int
    start: int


@dataclass(eq=False, kw_only=True)
class FIRE(PBT):
    """Greedy lines first, then parents, then evaluators; all with a barrier.

    The best line may lose its weights to a success: that is what not being greedy means.

    Attributes:
        parents: slots of the parent sub-population; None: a third of all.
        evaluators: slots of evaluators, at most as many as parents; None: as many.
        max_trial: intervals after which an evaluator without proof of its advantage stops, 1 or more; ours.
        significance: of the sign test; 0.01 is the replication's.
        window: how many last intervals of a curve are kept; ours.
    """

    multi_objective: ClassVar[bool] = False
    takes_immigrants: ClassVar[bool] = False

    parents: int | None = None
    evaluators: int | None = None
    max_trial: int = 10
    significance: float = 0.01
    window: int = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(self.population_size >= 4, "population_size", "is too small for three kinds of slots; use 4 or more")
        self._num_parents = self.population_size // 3 if self.parents is None else self.parents
        self._num_evaluators = self._num_parents if self.evaluators is None else self.evaluators
        self._num_greedy = self.population_size - self._num_parents - self._num_evaluators
        self.check(self._num_parents >= 1, "parents", "must be 1 or more, or null for a third of all slots")
        self.check(1 <= self._num_evaluators <= self._num_parents, "evaluators", "must be from 1 to parents, or null")
        few = "leaves fewer than 2 of population_size for greedy lines; use fewer parents or evaluators"
        self.check(self._num_greedy >= 2, "parents" if self.evaluators is None else "evaluators", few)
        self.check(self.max_trial >= 1, "max_trial", "must be 1 or more")
        self.check(self.exploit == "truncation", "exploit", "has no place in this search; leave it at truncation")
        self.check(self.patience is None, "patience", "has no place in this search; leave it at null")
        self._trials: dict[int, Trial] = {}  # by evaluator's slot
        self._tried: dict[int, int] = {}  # generation of a parent's last trial, by its slot
        self._improvement: dict[int, float] = {}  # of parents under trial, by slot
        self._successes: dict[int, Line] = {}  # the evaluator whose weights a greedy slot takes now

    def _of_kind(self, kind: str) -> range:
        first = {"greedy": 0, "parent": self._num_greedy, "evaluator": self._num_greedy + self._num_parents}[kind]
        num = {"greedy": self._num_greedy, "parent": self._num_parents, "evaluator": self._num_evaluators}[kind]
        return range(first, first + num)

    # What a generation has shown

    def _depart(self, member: Member) -> None:
        super()._depart(member)
        parent = self._parents[member.id]
        if parent is None or parent.slot == member.slot:
            return
        # A curve begins where weights are copied, but a success brings the evaluator's along.
        if not (member.slot in self._of_kind("greedy") and parent.slot in self._of_kind("evaluator")):
            self._parents[member.id] = replace(parent, recent=())

    def _turned(self) -> None:
        super()._turned()
        lines = self._standings.lines
        self._improvement = self._improvements()
        lost = {
            slot
            for slot in (*self._of_kind("greedy"), *self._of_kind("parent"))
            if not lines[slot].ok or (self._is_ready(lines[slot]) and self._is_among_worst(lines[slot]))
        }
        self._successes = {}
        for slot, trial in sorted(self._trials.items()):
            if not self._goes_on(slot, trial, lost):
                del self._trials[slot]
        children = [line for line in self._standings.order if line.slot in self._of_kind("greedy")]
        for slot in self._of_kind("evaluator"):
            tested = {trial.parent for trial in self._trials.values()}
            waiting = [parent for parent in self._of_kind("parent") if parent not in tested | lost]
            if slot not in self._trials and waiting and children:
                parent = min(waiting, key=lambda waits: (self._tried.get(waits, -1), waits))
                self._trials[slot] = Trial(parent, children[0].slot, self._generation)
                self._tried[parent] = self._generation

    def _improvements(self) -> dict[int, float]:
        """The fitness of each parent whose evaluator has a curve, by slot."""
        evaluators = {trial.parent: self._standings.lines[slot] for slot, trial in self._trials.items()}
        curves = {slot: curve_of(line) for slot, line in evaluators.items() if line.ok and len(line.recent) > 1}
        return {a: sum(advantage(curves[a], curves[b]) for b in curves if b != a) for a in curves}

    def _is_among_worst(self, line: Line) -> bool:
        peers, num = self._peers(line)
        return line in peers and is_replaced(line, peers, num, self.truncation)

    def _peers(self, line: Line) -> tuple[list[Line], int]:
        """The lines of a line's kind that have a fitness, best first, and their number with those that failed."""
        slots = self._of_kind("greedy" if line.slot < self._num_greedy else "parent")
        peers = [peer for peer in self._standings.order if peer.slot in slots]
        if slots == self._of_kind("parent"):
            tried = [peer for peer in peers if peer.slot in self._improvement]
            peers = sorted(tried, key=lambda peer: (-self._improvement[peer.slot], peer.slot))
        return peers, len(peers) + sum(not self._standings.lines[slot].ok for slot in slots)

    def _goes_on(self, slot: int, trial: Trial, lost: set[int]) -> bool:
        """Whether an evaluator goes on with its trial; notes a success."""
        evaluator, child = self._standings.lines[slot], self._standings.lines[trial.child]
        if not evaluator.ok or trial.child in lost or trial.parent in lost or trial.child in self._successes:
            return False
        a, b = curve_of(evaluator), curve_of(child)
        if min(len(a), len(b)) < 2:
            return True
        p = sign_test(a, b)
        if p < self.significance and advantage(a, b) > 0.0:
            self._successes[trial.child] = evaluator
            return False
        patience = max(0.0, 1.0 - (self._generation - trial.start) / self.max_trial)
        return patience > 0.0 if overlap(a, b) is None else p <= self.significance + patience

    # Births

    def _next(self, rng: np.random.Generator, line: Line) -> Birth:
        trial = self._trials.get(line.slot)
        if line.slot in self._successes:
            return self._bred(line, line.member.genotype, genes_from=line, weights_from=self._successes[line.slot])
        if trial is not None and trial.start == self._generation:
            parent, child = self._standings.lines[trial.parent], self._standings.lines[trial.child]
            return self._bred(line, child.member.genotype, genes_from=child, weights_from=parent)
        return super()._next(rng, line)

    def _exploit(self, rng: np.random.Generator, line: Line) -> Line | None:
        peers, num = self._peers(line)
        if line in peers or (peers and not line.ok):
            return truncation(rng, line, peers, num, self.truncation)
        return None if line.ok else self._standings.order[0]  # an evaluator, or a parent that nobody has tried


def curve_of(line: Line) -> NDArray[np.float64]:
    """A line's training curve, larger is better."""
    return -np.asarray(line.recent)


def overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[slice, slice] | None:
    """The parts of two curves that overlap once smoothed, equally long; None: one is ahead from beginning to end."""
    smooth_a, smooth_b = _smoothed(a), _smoothed(b)
    reached_a, reached_b = np.flatnonzero(smooth_a >= smooth_b[0]), np.flatnonzero(smooth_b >= smooth_a[0])
    if not len(reached_a) or not len(reached_b):
        return None
    length = min(len(a) - reached_a[0], len(b) - reached_b[0])
    return slice(reached_a[0], reached_a[0] + length), slice(reached_b[0], reached_b[0] + length)


def advantage(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """How far a's best is above b's where the curves overlap.

    Where a is ahead everywhere, it is moved down until it overlaps, by several steps, of which the best for a counts,
    0 at least; where it is behind everywhere: 0.
    """
    common = overlap(a, b)
    if common is not None:
        return float(a[common[0]].max() - b[common[1]].max())
    if a.min() <= b.max():
        return 0.0
    moved = [a - shift for shift in np.linspace(a.min() - b.max(), a.min() - b.min(), NUM_SHIFTS)]
    return max([0.0, *(advantage(lowered, b) for lowered in moved if overlap(lowered, b) is not None)])


def sign_test(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The p-value of "a is not ahead of b" where the curves overlap, or over both from the start."""
    if a.min() > b.max():
        return 0.0
    length = min(len(a), len(b))
    part_a, part_b = overlap(a, b) or (slice(length), slice(length))
    ahead = a[part_a] > b[part_b]
    return float(binomtest(int(ahead.sum()), len(ahead), alternative="greater").pvalue)


def _smoothed(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    smoothed = curve.copy()
    for i in range(1, len(curve)):
        smoothed[i] = SMOOTHING * curve[i] + (1.0 - SMOOTHING) * smoothed[i - 1]
    return smoothed
