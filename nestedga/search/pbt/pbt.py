"""Population based training: with a barrier, or each slot by itself.

Jaderberg et al. 2017, "Population Based Training of Neural Networks" (arXiv:1711.09846), algorithm 1 and section 4.

    for every slot, after each interval:
        if ready:
            exploit: if another line is better (truncation, t_test or tournament), copy its weights, its genes or both
            explore: where something was copied, each gene is perturbed, mutated, resampled or kept
        go on for one interval

``PBT`` waits until a whole generation has come in, so that the result does not depend on the number of groups.
``AsynchronousPBT`` is the paper's algorithm: a slot goes on at once, with what is known of the others by then.

Backtracking: a line that has not improved for ``patience`` intervals goes back to the best of its lineage. That it is
its own lineage is ours; PBT with backtracking goes back to the population's best states: Zhang et al. 2021, "On the
Importance of Hyperparameter Optimization for Model-based Reinforcement Learning" (arXiv:2102.13651).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from nestedga.population.genes import MUTATION_DEVIATION, FloatGene, Gene
from nestedga.population.member import Evaluation, GeneValue, Genotype, Member
from nestedga.search.base import Asynchronous, Birth, Bookkeeping, Generational
from nestedga.search.base.ranking import ranked
from nestedga.search.pbt.exploit import EXPLOITS, is_replaced, t_test, tournament, truncation
from nestedga.search.pbt.lines import Line, Standings, prolonged

EXPLORES = ("perturb", "mutate", "resample", "keep")
COPIES = ("both", "weights", "hyperparameters")


@dataclass(eq=False, kw_only=True)
class PopulationBased(Bookkeeping):
    """What both forms share: exploit, explore, and the lines that these look at.

    Attributes:
        generations: intervals of every slot.
        exploit: ``truncation``, ``t_test`` or ``tournament``; see ``exploit.py``. Default: one of the paper's two for
            reinforcement learning, section 4.1.
        truncation: q, the fraction replaced; ``max(1, round(q * n))`` slots, never more than half. Default 0.2: the
            paper's, section 4.1.
        significance: of the t-test, in (0, 1); the paper names none, 0.05 is the convention.
        window: how many last figures of merit the t-test looks at, 2 or more. Default 10: the paper's, section 4.1.
        copy: ``both``, ``weights`` or ``hyperparameters``; a failed slot copies both.
        explore: what happens to a gene after copying. ``perturb``: up or down by a factor (the paper's), a choice to
            another; ``mutate``: a normal step in unit space is added; ``resample``: drawn afresh; ``keep``.
        explore_genes: the same for single genes, by path; None: for none of them.
        resample: probability that a gene is drawn afresh where it would be perturbed or mutated; 0.25, the default of
            Ray Tune's implementation.
        deviation: standard deviation of ``mutate``'s step, in unit space; above 0.
        ready: intervals between two exploits of a slot; in between it just goes on. Failed slots never wait.
        burn_in: intervals before a slot's first exploit.
        patience: intervals without a new best after which a line goes back to the best of its lineage, weights and
            genes, and explores; None: never.
        first: genotypes to begin with, slot by slot; genes left out are drawn, as are those of all further slots.
    """

    generations: int = 10
    exploit: str = "truncation"
    truncation: float = 0.2
    significance: float = 0.05
    window: int = 10
    copy: str = "both"
    explore: str = "perturb"
    explore_genes: Mapping[str, str] | None = None
    resample: float = 0.25
    deviation: float = MUTATION_DEVIATION
    ready: int = 1
    burn_in: int = 0
    patience: int | None = None
    first: Sequence[Genotype] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (("exploit", EXPLOITS), ("copy", COPIES), ("explore", EXPLORES)):
            self.check(getattr(self, name) in known, name, f"is unknown; use one of {', '.join(known)}")
        self.check(0.0 < self.truncation <= 0.5, "truncation", "must be above 0 and at most 0.5, for half copy half")
        self.check(0.0 < self.significance < 1.0, "significance", "must lie between 0 and 1, as in 0.05")
        self.check(self.window >= 2, "window", "is too short for a t-test; use 2 or more")
        self.check(0.0 <= self.resample <= 1.0, "resample", "is no probability; use a number from 0 to 1")
        self.check(self.deviation > 0.0, "deviation", "moves nothing; use a number above 0, or explore=keep")
        self.check(self.ready >= 1, "ready", "must be 1 (exploit after each interval) or more")
        self.check(self.burn_in >= 0, "burn_in", "must be 0 or more")
        self.check(self.patience is None or self.patience >= 1, "patience", "must be 1 or more, or null for never")
        self._check_genes()
        self._standings = Standings()
        self._parents: dict[int, Line | None] = {}  # whose line each member in flight prolongs, by the member's id

    def _check_genes(self) -> None:
        known = ", ".join(self.space.paths)
        for path, how in (self.explore_genes or {}).items():
            self.check(path in self.space.paths, "explore_genes", f"names {path}; the genes are {known}")
            self.check(how in EXPLORES, "explore_genes", f"asks for {how}; use one of {', '.join(EXPLORES)}")
        few = f"has more genotypes than slots; give at most population_size={self.population_size}"
        self.check(len(self.first) <= self.population_size, "first", few)
        for path in (path for genotype in self.first for path in genotype):
            self.check(path in self.space.paths, "first", f"names {path}; the genes are {known}")
        self.first = [{path: self._read(path, genotype[path]) for path in genotype} for genotype in self.first]
        for path, value in (gene for genotype in self.first for gene in genotype.items()):
            self.check(self.space[path].contains(value), "first", f"has no possible value for {path}")

    def _read(self, path: str, value: GeneValue) -> GeneValue:
        # YAML has 1 where a real gene has 1.0.
        return float(value) if type(value) is int and isinstance(self.space[path], FloatGene) else value

    # Births

    def _born(self, rng: np.random.Generator, slot: int) -> Birth:
        """The next member of a slot."""
        line = self._standings.lines.get(slot)
        if line is None:
            return Birth(self.space.completed(rng, self.first[slot] if slot < len(self.first) else {}), slot=slot)
        return self._next(rng, line)

    def _next(self, rng: np.random.Generator, line: Line) -> Birth:
        """Exploits and explores, or just goes on."""
        donor = None
        if self._standings.order and (not line.ok or self._is_ready(line)):
            donor = self._exploit(rng, line)
        if donor is not None:
            return self._copied(rng, line, donor)
        if self._has_lost_patience(line):
            genotype = self._explore(rng, line, line.best, line.best.member.genotype)
            return self._bred(line, genotype, genes_from=line.best, weights_from=line.best)
        if line.ok:
            return self._bred(line, line.member.genotype, genes_from=line, weights_from=line)
        return self._afresh(rng, line)

    def _is_ready(self, line: Line) -> bool:
        generation = line.member.generation + 1
        return generation >= self.burn_in and generation % self.ready == 0

    def _has_lost_patience(self, line: Line) -> bool:
        return self.patience is not None and line.best.ok and (line.stalled >= self.patience or not line.ok)

    def _exploit(self, rng: np.random.Generator, line: Line) -> Line | None:
        """The line that this one copies; None: it goes on."""
        order = self._standings.order
        if self.exploit == "truncation":
            return truncation(rng, line, order, len(self._standings.lines), self.truncation)
        if self.exploit == "t_test":
            return t_test(rng, line, order, self.significance)
        return tournament(rng, line, order)

    def _copied(self, rng: np.random.Generator, line: Line, donor: Line) -> Birth:
        genes_from = line if self.copy == "weights" and line.ok else donor
        weights_from = line if self.copy == "hyperparameters" and line.ok else donor
        genotype = self._explore(rng, line, donor, genes_from.member.genotype)
        return self._bred(line, genotype, genes_from=genes_from, weights_from=weights_from)

    def _explore(self, rng: np.random.Generator, line: Line, donor: Line, genotype: Genotype) -> Genotype:
        """The genes after copying; for algorithms that explore otherwise.

        Args:
            rng: the child's own generator.
            line: the slot's line until now, perhaps failed; ``line.slot`` is the child's place in the population.
            donor: the line that is copied.
            genotype: what is explored: the donor's genes, or with ``copy=weights`` the slot's own.
        """
        explored = {path: self._explored(rng, self.space[path], value) for path, value in genotype.items()}
        return self.space.completed(rng, explored)

    def _explored(self, rng: np.random.Generator, gene: Gene, value: GeneValue) -> GeneValue:
        how = self.explore_genes.get(gene.path, self.explore) if self.explore_genes else self.explore
        if how == "keep":
            return value
        if how == "resample" or rng.random() < self.resample:
            return gene.sample(rng)
        return gene.perturb(rng, value) if how == "perturb" else gene.mutate(rng, value, self.deviation)

    def _bred(self, line: Line, genotype: Genotype, *, genes_from: Line, weights_from: Line) -> Birth:
        parents = (genes_from.member.id,), (weights_from.member.id,)
        return Birth(genotype, *parents, slot=line.slot, generation=line.member.generation + 1)

    def _afresh(self, rng: np.random.Generator, line: Line) -> Birth:
        return Birth(self.space.sample(rng), slot=line.slot, generation=line.member.generation + 1)

    # Lines

    def _depart(self, member: Member) -> None:
        """Notes, when a member is asked, whose line it prolongs: the parent may be gone when it comes in."""
        parents = member.weights_parents or member.hyper_parents
        self._parents[member.id] = self._standings.line_of(parents[0]) if parents else None

    def _arrive(self, member: Member, evaluation: Evaluation) -> None:
        """Takes in an interval; with a barrier, slot by slot once the generation is in."""
        self._standings.put(prolonged(self._parents.pop(member.id), member, evaluation, self.window))

    def _settle(self, immigrant: tuple[Member, Evaluation], line: Line) -> bool:
        """An immigrant takes the place of a line that is worse, whose slot goes on with it; True where it has."""
        member, evaluation = immigrant
        if ranked([evaluation, line.evaluation])[0] is line.evaluation:
            return False
        member = replace(member, slot=line.slot, generation=line.member.generation)
        self._standings.put(Line(member, evaluation, (evaluation.fom,)))
        return True

    def _bests(self) -> set[int]:
        """Members that a line with patience may go back to."""
        if self.patience is None:
            return set()
        lines = (*self._standings.lines.values(), *self._parents.values())
        return {line.best.member.id for line in lines if line is not None and line.best.ok}


@dataclass(eq=False, kw_only=True)
class PBT(PopulationBased, Generational):
    """Population based training generation by generation.

    Immigrants take the places of the worst lines of the generation that they come into, where they are better.
    """

    multi_objective = True
    takes_immigrants = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(self.intervals == 1, "intervals", "must stay 1; ready says how many intervals lie between exploits")

    def adopt(self, member: Member) -> None:
        super().adopt(member)
        self._depart(member)

    def needed(self) -> set[int]:
        last = self._generation + 1 >= self.generations
        return super().needed() | (set() if last or self.inherit == "none" else self._bests())

    def _founder(self, rng: np.random.Generator, slot: int) -> Birth:
        return self._born(rng, slot)

    def _child(self, rng: np.random.Generator, slot: int, viable: Sequence[tuple[Member, Evaluation]]) -> Birth:
        return self._born(rng, slot)

    def _turned(self) -> None:
        for member, evaluation in sorted(self._ranked, key=lambda pair: pair[0].slot):
            if member.id >= 0:
                self._arrive(member, evaluation)
        for immigrant in self._ranked:
            if immigrant[0].id < 0:
                failed = [line for line in self._standings.lines.values() if not line.ok]
                self._settle(immigrant, failed[0] if failed else self._standings.order[-1])


@dataclass(eq=False, kw_only=True)
class AsynchronousPBT(PopulationBased, Asynchronous):
    """Population based training in which every slot goes on by itself; groups of different speed never wait.

    An immigrant waits for the next line that comes in failed or among the worst, as many as ``truncation`` says, and is
    worse: it takes that line's place. The next immigrant takes the place of one that still waits.
    """

    multi_objective = True
    takes_immigrants = True
    evaluations: int | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.check(self.population_size >= 2, "population_size", "leaves nobody to copy; use 2 or more")
        self.check(self.generations >= 1, "generations", "evaluates nobody; use 1 or more")
        self._free: dict[int, None] = dict.fromkeys(range(self.population_size))  # slots, in the order they came in
        self._immigrant: tuple[Member, Evaluation] | None = None  # that waits
        super().__post_init__()

    def adopt(self, member: Member) -> None:
        super().adopt(member)
        self._depart(member)
        del self._free[member.slot]

    def immigrate(self, member: Member, evaluation: Evaluation) -> None:
        self._immigrant = member, evaluation

    def needed(self) -> set[int]:
        if self.inherit == "none" or self._next_id == self.length:
            return set()
        immigrants = {self._immigrant[0].id} if self._immigrant else set()
        return {line.member.id for line in self._standings.order} | self._bests() | immigrants

    def _birth(self, rng: np.random.Generator, member_id: int) -> Birth | None:
        slot = next(iter(self._free), None)
        return None if slot is None else self._born(rng, slot)

    def _learn(self, member: Member, evaluation: Evaluation) -> None:
        self._arrive(member, evaluation)
        line, lines = self._standings.lines[member.slot], self._standings.lines
        if self._immigrant and is_replaced(line, self._standings.order, len(lines), self.truncation):
            self._immigrant = None if self._settle(self._immigrant, line) else self._immigrant
        if member.generation + 1 < self.generations:
            self._free[member.slot] = None
