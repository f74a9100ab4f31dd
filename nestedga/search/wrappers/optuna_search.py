"""Any sampler of Optuna as a search of ours.

Akiba et al. 2019, "Optuna: A Next-generation Hyperparameter Optimization Framework" (arXiv:1907.10902); the algorithm
is the sampler's. Optuna is no package that we need: ``pip install optuna``.

    ask:   sampler = make(seed drawn from (seed, member id));  trial = study.ask()
           suggest each active gene, a gene after those on which it hangs
    tell:  study.tell(trial, the values to be minimised, or failed)

The study is in memory. Some samplers leave notes in it when they are asked (CMA-ES its distribution, NSGA-II its
parents), which no journal holds. So after a restart the first ask goes through the whole history once more, with the
same seeds; every sampler that depends on nothing but seed and study is as if never interrupted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nestedga.errors import SettingError
from nestedga.population.genes import CategoricalGene, ConstantGene, FloatGene, Gene, IntGene, OrdinalGene
from nestedga.population.member import Evaluation, GeneValue, Genotype, Member
from nestedga.population.values import same
from nestedga.search.base import Asynchronous, Birth, rng_for

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import Trial


@dataclass(eq=False, kw_only=True)
class OptunaSearch(Asynchronous):
    """Asks a sampler of Optuna for each member. Ordinals are whole numbers to it: their places in the order.

    Attributes:
        sampler: makes the sampler, called with ``seed`` for each member: its class, or a partial with settings; in a
            configuration a ``_target_`` with ``_partial_: true``.
        num_objectives: how many the run has; the sampler must be able to weigh so many.
    """

    multi_objective: ClassVar[bool] = True
    slow: ClassVar[bool] = True
    needs_unit_space: ClassVar[bool] = True

    sampler: Callable[..., BaseSampler]
    num_objectives: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(callable(self.sampler), "sampler", "must be made anew for each member; give it _partial_: true")
        self.check(self.num_objectives >= 1, "num_objectives", "must be 1 or more")
        self._study = self._empty_study()
        try:
            self._suggested(0)  # a sampler that cannot work says so now
        except (ImportError, TypeError, ValueError) as error:
            if isinstance(error, SettingError):
                raise
            raise SettingError(f"search.sampler does not work: {' '.join(str(error).split())}") from error
        self._study = self._empty_study()
        self._trials: dict[int, Trial] = {}  # out, by member id
        self._unread: list[Member | Evaluation] = []  # said since the last ask

    def adopt(self, member: Member) -> None:
        super().adopt(member)
        if member.id not in self._trials:
            self._unread.append(member)

    def _birth(self, rng: np.random.Generator, member_id: int) -> Birth:
        for said in self._unread:
            self._take_up(said) if isinstance(said, Member) else self._tell(said)
        self._unread.clear()
        self._trials[member_id], genotype = self._suggested(member_id)
        return Birth(genotype)

    def _learn(self, member: Member, evaluation: Evaluation) -> None:
        num_objectives = len(evaluation.values)
        fits = not evaluation.ok or num_objectives == self.num_objectives
        self.check(fits, "num_objectives", f"is not the number of the run; use {num_objectives}")
        self._unread.append(evaluation)

    def _suggested(self, member_id: int) -> tuple[Trial, Genotype]:
        """What the sampler says for a member."""
        self._study.sampler = self.sampler(seed=int(rng_for(self.seed, member_id).integers(2**31)))
        trial = self._study.ask()
        return trial, self.space.made(lambda gene: _suggest(trial, gene))

    def _take_up(self, member: Member) -> None:
        """Goes once more through the asking for a member of the journal."""
        trial, genotype = self._suggested(member.id)
        if genotype != member.genotype:  # other versions of packages: what the journal says holds
            self._study.tell(trial, state=_optuna().trial.TrialState.FAIL)
            self._study.enqueue_trial({path: _param(self.space[path], v) for path, v in member.genotype.items()})
            trial = self._study.ask()
            self.space.made(lambda gene: _suggest(trial, gene))
        self._trials[member.id] = trial

    def _tell(self, evaluation: Evaluation) -> None:
        trial = self._trials.pop(evaluation.member_id)
        if evaluation.ok:
            self._study.tell(trial, list(evaluation.values))
        else:
            self._study.tell(trial, state=_optuna().trial.TrialState.FAIL)

    def _empty_study(self) -> Study:
        optuna = _optuna()
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # no line for a study that nobody is to look at
        try:
            study: Study = optuna.create_study(directions=["minimize"] * self.num_objectives)
        finally:
            optuna.logging.set_verbosity(verbosity)
        return study


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise SettingError("search=optuna needs a package that is not installed: pip install optuna") from error
    return optuna


def _suggest(trial: Trial, gene: Gene) -> GeneValue:
    match gene:
        case FloatGene(path, low, high, log):
            return trial.suggest_float(path, low, high, log=log)
        case IntGene(path, low, high, log):
            return trial.suggest_int(path, low, high, log=log)
        case OrdinalGene(path, choices):
            return choices[trial.suggest_int(path, 0, len(choices) - 1)]
        case CategoricalGene(path, choices):
            return choices[trial.suggest_categorical(path, range(len(choices)))]
        case ConstantGene(_, value):
            return value
    raise AssertionError(f"an unknown kind of gene: {gene}")


def _param(gene: Gene, value: GeneValue) -> GeneValue:
    """A gene's value as the parameter of a trial; reverses ``_suggest``."""
    if isinstance(gene, OrdinalGene | CategoricalGene):
        return next(i for i, choice in enumerate(gene.choices) if same(choice, value))
    return value
