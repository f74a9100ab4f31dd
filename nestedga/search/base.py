"""What every search promises, and the bookkeeping that searches share: by generation, or one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from types import UnionType
from typing import Any, ClassVar, Protocol

import numpy as np

from nestedga.errors import SettingError
from nestedga.member import Evaluation, Genotype, Member
from nestedga.search.ranking import ranked
from nestedga.space import Space


class Search(Protocol):
    """Decides which members come next. A search is a function of its history.

    Every draw is keyed by (seed, member id), so there is no random state to save: after ``adopt`` and ``tell`` of a
    journal, ``ask`` answers as if never interrupted. FoMs told to a search are always minimised.
    """

    @property
    def multi_objective(self) -> bool:
        """Whether it can weigh several objectives against each other."""
        ...

    @property
    def slow(self) -> bool:
        """Whether an ``ask`` may take so long that it belongs in a process of its own."""
        ...

    @property
    def prefetch(self) -> int:
        """How many members for each busy group may be asked for ahead, so that nothing is waited for later."""
        ...

    @property
    def takes_immigrants(self) -> bool:
        """Whether members of another search over the same space may join this one."""
        ...

    @property
    def last_counts(self) -> bool:
        """Whether its result is the last member that succeeded, and not the best: there was nothing to choose."""
        ...

    @property
    def done(self) -> bool:
        """True when everything was asked and told."""
        ...

    @property
    def num_evaluations(self) -> int | None:
        """How many evaluations the whole search makes, where it is known."""
        ...

    def ask(self, n: int) -> list[Member]:
        """At most n new members; ``[]`` means: nothing until somebody tells me more."""
        ...

    def tell(self, evaluation: Evaluation) -> None:
        """Hands in a member's evaluation, in any order.

        Raises:
            ValueError: the member was never asked, or was told before.
        """
        ...

    def adopt(self, member: Member) -> None:
        """From the journal: this member was asked; compute nothing."""
        ...

    def immigrate(self, member: Member, evaluation: Evaluation) -> None:
        """Takes in another search's member; part of the history. Called only where ``takes_immigrants``.

        Args:
            member: without parents, for those are elsewhere; its id is negative and its slot the one it had there.
            evaluation: an OK one.
        """
        ...

    def needed(self) -> set[int]:
        """Members whose weights the search may still want for children, immigrants among them."""
        ...


def rng_for(seed: int, member_id: int) -> np.random.Generator:
    """The generator of all draws that make one member."""
    return np.random.default_rng([seed, member_id])


@dataclass(frozen=True, slots=True)
class Birth:
    """What an algorithm decides about a new member; the bookkeeping gives it an id.

    Attributes:
        genotype: its genes.
        hyper_parents: whose genes were bred into it.
        weights_parents: whose weights it begins with; taken back where ``inherit`` is none.
        weights_crossover: how two weights parents are combined: ``average`` or ``layerwise``.
        slot: its seat, where the algorithm has seats of its own; else id mod population_size.
        generation: how many breedings lie behind it.
        budget: length of its interval, where it is not the usual one.
    """

    genotype: Genotype
    hyper_parents: tuple[int, ...] = ()
    weights_parents: tuple[int, ...] = ()
    weights_crossover: str | None = None
    slot: int | None = None
    generation: int = 0
    budget: int | None = None


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
    """

    multi_objective: ClassVar[bool] = False
    slow: ClassVar[bool] = False
    takes_immigrants: ClassVar[bool] = False
    last_counts: ClassVar[bool] = False

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
            weights_crossover=birth.weights_crossover if inherits and len(birth.weights_parents) > 1 else None,
            budget=birth.budget or self.budget,
        )


@dataclass(eq=False, kw_only=True)
class Generational(Bookkeeping):
    """The bookkeeping of searches that breed generation by generation; the barrier lives here.

    Member ``id = (generation * intervals + interval) * population_size + slot``. A further interval of an individual
    is a member of its own, with the genes and weights of the one before; it waits for nobody else, and whoever failed
    gets none. While a generation is out, ``ask`` answers ``[]``. A subclass gives ``_founder`` and ``_child``; both
    must be functions of the generations told whole, so that a generation may be asked piece by piece, by any number of
    groups, before and after a restart.

    Attributes:
        generations: how many, the first one counted.
        intervals: how many an individual trains before it is judged, 1 or more; with ``inherit`` none, where nobody
            goes on with weights, one interval as long as all of them.
    """

    prefetch: ClassVar[int] = 1  # it costs no knowledge: a generation is known when the last one is in

    generations: int = 10
    intervals: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(self.population_size >= 2, "population_size", "leaves nobody to breed with; use 2 or more")
        self.check(self.generations >= 1, "generations", "evaluates nobody; use 1 or more")
        self.check(self.intervals >= 1, "intervals", "trains nobody; use 1 or more")
        self._num_intervals = self.intervals if self.inherit == "weights" else 1
        self._num_skipped = 0  # intervals of individuals that failed before
        self._generation = 0
        self._asked: dict[int, Member] = {}  # of the current generation, by id
        self._told: dict[int, Evaluation] = {}  # of the current generation, by id
        self._judged: list[Evaluation] = []  # each individual's last one of the current generation
        self._immigrants: list[tuple[Member, Evaluation]] = []  # into the current generation
        self._ranked: list[tuple[Member, Evaluation]] = []  # of the previous generation, best first
        self._unborn: dict[int, Member] | None = None  # bred and not asked yet, by id; None: not bred yet

    @property
    def done(self) -> bool:
        return self._generation == self.generations

    @property
    def num_evaluations(self) -> int:
        return self.population_size * self.generations * self._num_intervals - self._num_skipped

    def ask(self, n: int) -> list[Member]:
        members = list(islice(self._breed().values(), n))
        for member in members:
            self.adopt(member)
        return members

    def adopt(self, member: Member) -> None:
        generation = member.id // (self.population_size * self._num_intervals)
        if self.done or generation != self._generation or member.id in self._asked:
            raise ValueError(f"member {member.id} cannot be asked in generation {self._generation}")
        self._asked[member.id] = member
        if self._unborn:
            self._unborn.pop(member.id, None)

    def tell(self, evaluation: Evaluation) -> None:
        member_id = evaluation.member_id
        if member_id not in self._asked:
            raise ValueError(f"member {member_id} was never asked")
        if member_id in self._told:
            raise ValueError(f"member {member_id} was told before")
        self._told[member_id] = evaluation
        further = self._further(evaluation)
        if further is None:
            self._judged.append(evaluation)
            self._num_skipped += self._num_intervals - 1 - self._interval(member_id)
        elif self._unborn is not None:
            self._unborn[further.id] = further
        if len(self._judged) == self.population_size:
            # Sorted by value, never by arrival: the same children for any number of groups.
            arrived = {member.id: member for member, _ in self._immigrants}
            everybody = ranked([*self._judged, *(evaluation for _, evaluation in self._immigrants)])
            self._ranked = [(arrived.get(e.member_id) or self._asked[e.member_id], e) for e in everybody]
            self._generation += 1
            self._asked, self._told, self._judged, self._immigrants, self._unborn = {}, {}, [], [], None
            self._turned()

    def immigrate(self, member: Member, evaluation: Evaluation) -> None:
        """It stands in the ranking of the generation that is out."""
        self._immigrants.append((member, evaluation))

    def needed(self) -> set[int]:
        if self.inherit == "none" or self.done:
            return set()
        # Children are functions of the ranking, so it is known which parents the rest of a generation draws.
        parents = {parent for member in self._breed().values() for parent in member.weights_parents}
        if self._generation + 1 == self.generations:
            return parents
        arrived = {member.id for member, _ in self._immigrants}
        return parents | arrived | {evaluation.member_id for evaluation in self._judged if evaluation.ok}

    def _breed(self) -> dict[int, Member]:
        """The members of this generation that were not asked yet, by id."""
        if self._unborn is None:
            first = self._generation * self._num_intervals * self.population_size
            ids = range(first, first + self.population_size) if not self.done else ()
            viable = self._viable
            self._unborn = {i: self._make(i, viable) for i in ids if i not in self._asked}
            for evaluation in self._told.values():
                further = self._further(evaluation)
                if further is not None and further.id not in self._asked:
                    self._unborn[further.id] = further
        return self._unborn

    @property
    def _viable(self) -> list[tuple[Member, Evaluation]]:
        """The previous generation without those that failed, best first."""
        return [(member, evaluation) for member, evaluation in self._ranked if evaluation.ok]

    def _interval(self, member_id: int) -> int:
        return member_id // self.population_size % self._num_intervals

    def _further(self, evaluation: Evaluation) -> Member | None:
        """The next interval of the same individual; None where it has trained all of them or failed."""
        if not evaluation.ok or self._interval(evaluation.member_id) == self._num_intervals - 1:
            return None
        before = self._asked[evaluation.member_id]
        parents = (before.id,)
        birth = Birth(before.genotype, parents, parents, slot=before.slot, generation=before.generation)
        return self._member(before.id + self.population_size, birth)

    def _make(self, member_id: int, viable: Sequence[tuple[Member, Evaluation]]) -> Member:
        rng = rng_for(self.seed, member_id)
        slot, generation = member_id % self.population_size, self._generation
        # The first generation, or one of which nobody survived, begins afresh.
        birth = self._child(rng, slot, viable) if viable else self._founder(rng, slot)
        # From scratch, all intervals are trained in one piece.
        budget = birth.budget or self.budget * self.intervals // self._num_intervals
        return self._member(member_id, replace(birth, slot=slot, generation=generation, budget=budget))

    def _founder(self, rng: np.random.Generator, slot: int) -> Birth:
        """A member without parents."""
        return Birth(self.space.sample(rng))

    def _child(self, rng: np.random.Generator, slot: int, viable: Sequence[tuple[Member, Evaluation]]) -> Birth:
        """Breeds the child for one slot.

        Args:
            rng: the child's own generator.
            slot: the child's seat.
            viable: members of the previous generation with a FoM, best first; at least one.
        """
        raise NotImplementedError

    def _turned(self) -> None:
        """A generation has come in whole; for algorithms that remember more than the last one."""


@dataclass(eq=False, kw_only=True)
class Asynchronous(Bookkeeping):
    """The bookkeeping of searches without a barrier: whoever asks gets a member at once, made from what is known.

    Ids count up in the order of asking. A subclass gives ``_birth`` and, where it learns, ``_learn``.

    Attributes:
        generations: so many times ``population_size`` evaluations: how long a search of either kind is, is said alike.
        evaluations: how many, failed ones counted; takes the place of ``generations``.
        length: how many it comes to.
        prefetch: how many members for each busy group may be asked for ahead, 0 or more: each then knows as many
            evaluations less per group, but neither its making nor the fetching of its weights is ever waited for.
    """

    prefetch: int = 0
    generations: int = 10
    evaluations: int | None = None
    length: int = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(self.population_size >= 1, "population_size", "must be 1 or more")
        self.check(self.generations >= 1, "generations", "evaluates nobody; use 1 or more")
        self.check(self.prefetch >= 0, "prefetch", "must be 0 or more")
        self.length = self.population_size * self.generations if self.evaluations is None else self.evaluations
        self.evaluations = self.length  # which complaints name
        self.check(self.length >= 1, "evaluations", "evaluates nobody; use 1 or more")
        self._asked: dict[int, Member] = {}  # out, by id, in the order of asking
        self._next_id = 0

    @property
    def done(self) -> bool:
        return self._next_id == self.length and not self._asked

    @property
    def num_evaluations(self) -> int | None:
        return self.length

    def ask(self, n: int) -> list[Member]:
        members: list[Member] = []
        while len(members) < n and self._next_id < self.length:
            birth = self._birth(rng_for(self.seed, self._next_id), self._next_id)
            if birth is None:
                break
            members.append(self._member(self._next_id, birth))
            self.adopt(members[-1])
        return members

    def adopt(self, member: Member) -> None:
        if member.id != self._next_id:
            raise ValueError(f"member {member.id} cannot be asked; the next is {self._next_id}")
        self._next_id += 1
        self._asked[member.id] = member

    def tell(self, evaluation: Evaluation) -> None:
        member = self._asked.pop(evaluation.member_id, None)
        if member is None:
            was = "told before" if 0 <= evaluation.member_id < self._next_id else "never asked"
            raise ValueError(f"member {evaluation.member_id} was {was}")
        self._learn(member, evaluation)

    def needed(self) -> set[int]:
        return set()

    def _birth(self, rng: np.random.Generator, member_id: int) -> Birth | None:
        """Makes the next member; None: not before somebody tells me more, which needs a member in flight.

        Args:
            rng: the member's own generator.
            member_id: its id.
        """
        raise NotImplementedError

    def _learn(self, member: Member, evaluation: Evaluation) -> None:
        """Takes in an evaluation, also a failed one."""
