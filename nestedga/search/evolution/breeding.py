"""How evolution makes its members: the first ones from nothing or from a founder, all others from parents.

What the generational and the steady-state genetic algorithm have in common; they differ in who becomes a parent and
who makes room.

    genes   = mutate(crossover(a, b))
    weights = those of one parent, or of a and b combined
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nestedga.population.genes import MUTATION_DEVIATION, FloatGene
from nestedga.population.member import Genotype, Member
from nestedga.search.base import Birth, Bookkeeping
from nestedga.search.evolution.demes import TOPOLOGIES, Demes
from nestedga.search.evolution.operators import (
    blend_crossover,
    mutate,
    one_point_crossover,
    polynomial_mutation,
    reset_mutation,
    simulated_binary_crossover,
    uniform_crossover,
)
from nestedga.search.sampling.design import DESIGNS, unit_points

CROSSOVERS = ("none", "uniform", "one_point", "blend", "simulated_binary")
MUTATIONS = ("gaussian", "polynomial", "reset")
WEIGHTS = ("clone", "average", "layerwise")
TRIES = 20  # to make a mutant of the founder: with one gene hit on average, all fail once in 10^8


@dataclass(eq=False, kw_only=True)
class Breeding(Bookkeeping):
    """Settings of breeding, and the breeding.

    Attributes:
        crossover: ``none`` (genes of a alone), ``uniform`` (as Cray published), ``one_point``, ``blend`` or
            ``simulated_binary``.
        crossover_rate: probability, in [0, 1], that a gene comes from b (uniform) or is mixed of both (blend,
            simulated_binary), and not a's; of one_point, that there is a point at all. 0.5 is Syswerda's 1989 and
            Deb and Agrawal's 1995.
        blend_alpha: how far beyond the parents blend goes, as a share of their distance, 0 or more; 0.5 is
            Eshelman and Schaffer's 1993.
        crossover_eta: how close to its parents simulated_binary leaves a child, 0 or more; 20 is NSGA-II's
            (Deb et al. 2002, section IV).
        mutation: ``gaussian`` (in unit space), ``polynomial`` or ``reset`` (a fresh value).
        mutation_rate: probability that a gene is mutated, in [0, 1]; ours.
        mutation_deviation: of gaussian, the standard deviation in unit space, above 0; ours.
        mutation_deviation_end: what it has become, linearly, at the end of the run; None: it stays.
        mutation_eta: how close to the old value polynomial stays, 0 or more; 20 is NSGA-II's.
        weights: ``clone`` one parent's, or combine those of both gene parents: ``average`` or ``layerwise``.
        initial: design of the first population: ``sobol``, ``latin_hypercube`` or ``random``; genes without a scale are
            drawn.
        founder: a genotype that the first population is made from, one member being it and all others its mutants,
            instead of by ``initial``; None: there is none. On the command line also ``configured``: the settings as
            they are.
        demes: sub-populations of neighbouring slots, 1 or more; 1 as published.
        topology: whence a deme's migrants come: ``ring``, from the deme before; ``random``, from any other.
    """

    crossover: str = "uniform"
    crossover_rate: float = 0.5
    blend_alpha: float = 0.5
    crossover_eta: float = 20.0
    mutation: str = "gaussian"
    mutation_rate: float = 0.2
    mutation_deviation: float = MUTATION_DEVIATION
    mutation_deviation_end: float | None = None
    mutation_eta: float = 20.0
    weights: str = "clone"
    initial: str = "sobol"
    founder: Genotype | None = None
    demes: int = 1
    topology: str = "ring"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_known("crossover", CROSSOVERS)
        self._check_known("mutation", MUTATIONS)
        self._check_known("weights", WEIGHTS)
        self._check_known("initial", DESIGNS)
        self._check_known("topology", TOPOLOGIES)
        for name in ("crossover_rate", "mutation_rate"):
            self._check_probability(name)
        for name in ("blend_alpha", "crossover_eta", "mutation_eta"):
            self.check(getattr(self, name) >= 0.0, name, "must be 0 or more")
        self.check(self.mutation_deviation > 0.0, "mutation_deviation", "moves nothing; use a number above 0")
        end = self.mutation_deviation_end
        self.check(end is None or end > 0.0, "mutation_deviation_end", "moves nothing; use a number above 0 or null")
        two = self.weights == "clone" or self.crossover != "none"
        self.check(two, "weights", "combines two parents, and crossover=none has one; use clone or another crossover")
        most = self.population_size
        self.check(1 <= self.demes <= most, "demes", f"must be from 1 to population_size = {most}")
        self._demes = Demes(self.population_size, self.demes, self.topology)
        if self.founder is not None:
            self.founder = self._checked(self.founder)

    def _check_known(self, setting: str, known: tuple[str, ...]) -> None:
        self.check(getattr(self, setting) in known, setting, f"is unknown; known: {', '.join(known)}")

    def _check_probability(self, setting: str) -> None:
        self.check(0.0 <= getattr(self, setting) <= 1.0, setting, "is no probability; use a number from 0 to 1")

    def _checked(self, founder: Genotype) -> Genotype:
        """The founder in the order of the space, and real where a gene is, though YAML has 1 for 1.0."""
        known = ", ".join(self.space.paths)
        unknown = ", ".join(path for path in founder if path not in self.space.paths)
        self.check(not unknown, "founder", f"names {unknown}; the genes are {known}")
        genotype: Genotype = {}
        for gene in self.space:
            if gene.path in founder:
                value = founder[gene.path]
                genotype[gene.path] = float(value) if isinstance(gene, FloatGene) and type(value) is int else value
                self.check(gene.contains(genotype[gene.path]), "founder", f"has no possible value for {gene.path}")
        for gene in self.space:
            active = self.space.is_active(gene.path, genotype)
            self.check(
                active or gene.path not in genotype, "founder", f"must not name {gene.path}, which is not active"
            )
            self.check(not active or gene.path in genotype, "founder", f"lacks {gene.path}; it must name every gene")
        return genotype

    def _newcomer(self, rng: np.random.Generator, index: int) -> Birth:
        """A member without parents.

        Args:
            rng: its generator.
            index: its place in the first population; whoever comes later has a larger one.
        """
        if self.founder is not None:
            return Birth(self._mutant(rng, self.founder) if index else dict(self.founder))
        if index < self.population_size:
            return Birth(self.space.from_unit(self._design[index], rng))
        return Birth(self.space.sample(rng))

    def _child_of(self, rng: np.random.Generator, a: Member, b: Member, donor: Member, progress: float) -> Birth:
        """The child of two gene parents.

        Args:
            rng: its generator.
            a: the parent whose genes are there unless crossover takes b's.
            b: the other; not used without crossover.
            donor: whose weights are cloned where weights are cloned.
            progress: how much of the run is over, in [0, 1].
        """
        parents = (a.id,) if self.crossover == "none" else (a.id, b.id)
        genotype = self._mutate(rng, self._cross(rng, a.genotype, b.genotype), self.mutation_rate, progress)
        generation = 1 + max(a.generation, b.generation)
        if self.weights == "clone":
            return Birth(genotype, parents, (donor.id,), generation=generation)
        if a.id == b.id:
            return Birth(genotype, parents, (a.id,), generation=generation)
        return Birth(genotype, parents, parents, self.weights, generation=generation)

    def _mutant(self, rng: np.random.Generator, founder: Genotype) -> Genotype:
        # One founder is enough: a mutation that has hit nothing is tried again.
        rate = max(self.mutation_rate, 1.0 / len(self.space.free))
        mutants = (self._mutate(rng, founder, rate, progress=0.0) for _ in range(TRIES))
        return next((mutant for mutant in mutants if mutant != founder), founder)

    def _cross(self, rng: np.random.Generator, a: Genotype, b: Genotype) -> Genotype:
        match self.crossover:
            case "none":
                return a
            case "uniform":
                return uniform_crossover(rng, self.space, a, b, self.crossover_rate)
            case "one_point":
                return one_point_crossover(rng, self.space, a, b, self.crossover_rate)
            case "blend":
                return blend_crossover(rng, self.space, a, b, self.crossover_rate, self.blend_alpha)
        return simulated_binary_crossover(rng, self.space, a, b, self.crossover_rate, self.crossover_eta)

    def _mutate(self, rng: np.random.Generator, genotype: Genotype, rate: float, progress: float) -> Genotype:
        match self.mutation:
            case "gaussian":
                return mutate(rng, self.space, genotype, rate, self._deviation(progress))
            case "polynomial":
                return polynomial_mutation(rng, self.space, genotype, rate, self.mutation_eta)
        return reset_mutation(rng, self.space, genotype, rate)

    def _deviation(self, progress: float) -> float:
        start, end = self.mutation_deviation, self.mutation_deviation_end
        return start if end is None else start + progress * (end - start)

    @cached_property
    def _design(self) -> NDArray[np.float64]:
        return unit_points(self.initial, self.seed, self.population_size, len(self.space.unit_genes))
