"""What all searches are given, how their settings are checked, and what an algorithm decides about a new member."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import UnionType
from typing import Any, ClassVar

from nestedga.errors import SettingError
from nestedga.population.genes import on_scale
from nestedga.population.member import Evaluation, Genotype, Member
from nestedga.population.space import Space


@dataclass(frozen=True, slots=True)
class Birth:
    """What an algorithm decides about a new member; the bookkeeping gives it an id.

    Attributes:
        genotype: its genes.
        hyper_parents: whose genes were bred into it.
        weights_parents: whose weights it begins with; taken back where ``inherit`` is none.
        inheritance: what the state that it begins with takes from theirs, as in ``Member``.
        slot: its place in the population, where the algorithm says; else id mod population_size.
        generation: how many breedings lie behind it.
        budget: length of its interval, where it is not the usual one.
    """

    genotype: Genotype
    hyper_parents: tuple[int, ...] = ()
    weights_parents: tuple[int, ...] = ()
    inheritance: str = "clone"
    slot: int | None = None
    generation: int = 0
    budget: int | None = None


ANY_GENES = "genetic, steady_state, pbt, pbt_async, fire or random"  # searches that need no unit space
_KINDS: dict[str, tuple[type | UnionType, str]] = {  # of settings, by their annotation
    "int": (int, "a whole number"),
    "float": (float | int, "a number"),
    "Genotype": (Mapping, "a genotype, as in {optimizer.lr: 0.1}"),
    "Mapping[str, str]": (Mapping, "a mapping, as in {optimizer.lr: resample}"),
    "Sequence[Genotype]": (list | tuple, "a list of genotypes, as in [{optimizer.lr: 0.1}]"),
}


def check_kinds(search: Any) -> None:
    """Refuses settings of a search, a dataclass, that are not of the declared kind.

    Raises:
        SettingError: naming setting, value and kind.
    """
    for setting in fields(search):
        kind, _, optional = str(setting.type).partition(" | ")
        value = getattr(search, setting.name, None)
        if kind not in _KINDS or (value is None and optional) or not setting.init:
            continue
        if not isinstance(value, _KINDS[kind][0]) or isinstance(value, bool):
            raise SettingError(f"search.{setting.name}={value!r} is not {_KINDS[kind][1]}")


@dataclass(eq=False, kw_only=True)
class Bookkeeping:
    """What all searches are given.

    Attributes:
        space: the genes.
        seed: of all draws.
        budget: length of an interval.
        population_size: slots.
        inherit: ``weights``, or ``none``: every member is trained from scratch.
        needs_unit_space: it sees genes as numbers in [0, 1], and refuses those that have no place there.
    """

    generational: ClassVar[bool] = False
    multi_objective: ClassVar[bool] = False
    slow: ClassVar[bool] = False
    takes_immigrants: ClassVar[bool] = False
    last_counts: ClassVar[bool] = False
    needs_unit_space: ClassVar[bool] = False

    space: Space = field(kw_only=False)
    seed: int
    budget: int
    population_size: int = 4
    inherit: str = "weights"

    def __post_init__(self) -> None:
        check_kinds(self)
        self.check(self.inherit in ("weights", "none"), "inherit", "is unknown; use weights or none")
        if not self.space.free:
            raise SettingError("space has no gene that can vary; name at least one, as in space=sgd")
        off_scale = next((gene.path for gene in self.space if not on_scale(gene)), None)
        if self.needs_unit_space and off_scale is not None:
            raise SettingError(
                f"{type(self).__name__} sees every gene as a number, and space.{off_scale} has no scale; leave it out, "
                f"or use {ANY_GENES}"
            )

    @property
    def num_objectives(self) -> int | None:
        """How many it must be told; None: any number that it can weigh."""
        return None

    def check(self, holds: bool, setting: str, complaint: str) -> None:
        """Refuses a setting of this search that does not hold, naming it, its value and the remedy.

        Raises:
            SettingError: it does not hold.
        """
        if not holds:
            raise SettingError(f"search.{setting}={getattr(self, setting)!r} {complaint}")

    def immigrate(self, member: Member, evaluation: Evaluation) -> None:
        raise NotImplementedError  # for those that take immigrants

    def _member(self, member_id: int, birth: Birth) -> Member:
        inherits = self.inherit == "weights"
        return Member(
            id=member_id,
            slot=member_id % self.population_size if birth.slot is None else birth.slot,
            generation=birth.generation,
            genotype=birth.genotype,
            hyper_parents=birth.hyper_parents,
            weights_parents=birth.weights_parents if inherits else (),
            inheritance=birth.inheritance if inherits else "clone",
            budget=birth.budget or self.budget,
        )
