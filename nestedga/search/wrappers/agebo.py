"""Joint search: aging evolution on some genes, a model on all others, in one run.

Egele et al. 2021, "AgEBO-Tabular: Joint Neural Architecture and Hyperparameter Search with Autotuned Data-Parallel
Training for Tabular Data" (arXiv:2010.16358):

    genes of the one kind   = mutate(winner of a tournament among the living); the oldest dies
    genes of the other kind = where the model, taught with these genes alone, hopes most
    member                  = both; its evaluation is told to both

A gene moves in its own half only. Weights, where they are inherited, are those of the parent in the evolution.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from nestedga.errors import SettingError
from nestedga.population.member import Evaluation, Member
from nestedga.search.base import Asynchronous, Birth
from nestedga.search.evolution.steady_state import SteadyState
from nestedga.search.model_based.model_based import ModelBased


@dataclass(eq=False, kw_only=True)
class AgEBO(Asynchronous):
    """Aging evolution beside Bayesian optimisation.

    Attributes:
        evolved: beginnings of the paths of genes that evolve, as ``model`` for all in ``model``; one or more, and not
            of all genes. A gene must not hang on one in the other half.
        evolution: makes the aging evolution; space, seed, budget and the settings that both halves share are given to
            it.
        model: makes the model-based search, likewise.
    """

    multi_objective: ClassVar[bool] = True
    slow: ClassVar[bool] = True

    evolved: Sequence[str]
    evolution: Callable[..., SteadyState]
    model: Callable[..., ModelBased]

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, file in (("evolution", "steady_state"), ("model", "model_based")):
            self.check(
                callable(getattr(self, name)), name, f"is no search; choose one as in search@search.{name}={file}"
            )
        self.check(not isinstance(self.evolved, str), "evolved", "is no list; write one, as in [model]")
        paths = self.space.paths
        for prefix in self.evolved:
            known = ", ".join(paths)
            self.check(any(_lies_in(path, prefix) for path in paths), "evolved", f"names no gene; name some of {known}")
        evolved = [path for path in paths if any(_lies_in(path, prefix) for prefix in self.evolved)]
        learned = [path for path in paths if path not in evolved]
        free = {gene.path for gene in self.space.free}
        self.check(bool(free & set(evolved)), "evolved", "leaves evolution no gene that can vary; name one, or a group")
        self.check(bool(free & set(learned)), "evolved", "leaves the model no gene that can vary; name fewer")
        for path, condition in self.space.conditions.items():
            for other, _ in condition:
                together = (path in evolved) == (other in evolved)
                self.check(together, "evolved", f"parts {path} from {other}, on which it hangs; name both or neither")
        shared = {"budget": self.budget, "population_size": self.population_size, "evaluations": self.length}
        # Seeds of their own, so that the halves of a member are drawn independently.
        seeds = np.random.SeedSequence(self.seed).generate_state(2).tolist()
        with _named("evolution"):
            space = self.space.subspace(evolved)
            self._evolution = self.evolution(space, seed=seeds[0], inherit=self.inherit, **shared)
        with _named("model"):
            self._model = self.model(self.space.subspace(learned), seed=seeds[1], inherit="none", **shared)
        self._num_asked = 0  # by the halves

    def needed(self) -> set[int]:
        return self._evolution.needed()

    def adopt(self, member: Member) -> None:
        super().adopt(member)
        if member.id == self._num_asked:  # from the journal: the halves know nothing of it yet
            for half in (self._evolution, self._model):
                genes = {path: value for path, value in member.genotype.items() if path in half.space.paths}
                half.adopt(replace(member, genotype=genes))
            self._num_asked += 1

    def _birth(self, rng: np.random.Generator, member_id: int) -> Birth:
        [evolved], [learned] = self._evolution.ask(1), self._model.ask(1)
        self._num_asked += 1
        genotype = self.space.completed(rng, {**evolved.genotype, **learned.genotype})
        return Birth(
            genotype,
            evolved.hyper_parents,
            evolved.weights_parents,
            evolved.inheritance,
            generation=evolved.generation,
        )

    def _learn(self, member: Member, evaluation: Evaluation) -> None:
        self._evolution.tell(evaluation)
        self._model.tell(evaluation)


def _lies_in(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}.")


@contextmanager
def _named(half: str) -> Iterator[None]:
    """Names the half in complaints about its settings."""
    try:
        yield
    except SettingError as error:
        raise SettingError(re.sub(r"^search\.", f"search.{half}.", str(error))) from error
