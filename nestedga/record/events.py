"""What can happen in a run: one frozen class per event, each with its word in the journal.

They are what coordinator, history, views and summaries share. In the order in which a run has them:

    run     what runs: names, sizes, versions              ask     the search asked for a member
    resume  the same again, at a restart                   order   a group was given a member
    test    the best member on the test split              tell    a group handed in an evaluation
    end     how the run ended                              repeat  it trained a member again whose state was lost
                                                           regroup       ranks form other groups
                                                           unobtainable  a group could not get a state
                                                           emigrate      a member goes to another part of the world
                                                           immigrate     one of another part was admitted

Format 2 is the present one. Format 1, that of version 0.1, lacks lines' numbers and some of the fields that have
defaults here, and is read like it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from nestedga.population.member import Evaluation, Member
from nestedga.population.objectives import ObjectiveConfig
from nestedga.protocol.messages import OrderKind

FORMAT = 2


class RunBegan(msgspec.Struct, frozen=True, kw_only=True):
    """The job was started.

    Attributes:
        format: of the lines from here on.
        experiment: its name, or ``default``.
        part: which part of the world this is the journal of; None: there is one coordinator.
        folder: of the run, or of the part.
        command: the words after ``python -m nestedga``.
        search: class of the search.
        population_size: evaluations in a row.
        generational: a row is a generation.
        last_counts: the result is the last member that succeeded, and not the best.
        num_evaluations: of the whole run; None: nobody knows.
        objective: the section of that name.
        unit: of budgets, ``epochs`` or ``steps``.
        layout: the groups, in words.
        first: id of the first group's leader.
        group_sizes: ranks of each group.
        versions: of what matters for the results, by name.
        initialise_seconds: what the start took before this line; None in journals from before there were these
            seconds, which number their groups 0, 1, 2, ...
        config_digest: SHA-256 of the file config.yaml; None in format 1.
    """

    format: int
    experiment: str
    part: int | None = None
    folder: str
    command: tuple[str, ...] = ()
    search: str
    population_size: int
    generational: bool = True
    last_counts: bool = False
    num_evaluations: int | None
    objective: ObjectiveConfig
    unit: str
    layout: str
    first: int = 0
    group_sizes: tuple[int, ...]
    versions: dict[str, str]
    initialise_seconds: float | None = None
    config_digest: str | None = None


class RunResumed(RunBegan, frozen=True, kw_only=True):
    """The job was started again; what it says holds from here on."""


class MemberAsked(msgspec.Struct, frozen=True):
    """The search asked for a member.

    Attributes:
        member: who is to be trained.
        told: how many evaluations and immigrants the search had been told of when it was asked; None in format 1,
            where these were all so far.
    """

    member: Member
    told: int | None = None


class OrderSent(msgspec.Struct, frozen=True):
    """A group was given a member.

    Attributes:
        group: its number, the id of its leader's rank.
        member_id: whom.
        task: to do what.
    """

    group: int
    member_id: int
    task: OrderKind


class MemberTold(msgspec.Struct, frozen=True):
    """A group handed in an evaluation."""

    group: int
    evaluation: Evaluation


class MemberRetrained(msgspec.Struct, frozen=True):
    """A group has trained a member again whose state was lost; the evaluation is that which was told before.

    Attributes:
        group: its number.
        member_id: whom.
        ledger: its seconds since it last handed any in, by activity.
    """

    group: int
    member_id: int
    ledger: dict[str, float]


class OrderFailed(msgspec.Struct, frozen=True):
    """A group could not carry out its order, for a state was not to be had.

    Attributes:
        group: its number.
        member_id: whose order it was.
        state_id: whose state was missing.
        ledger: its seconds since it last handed any in, by activity.
    """

    group: int
    member_id: int
    state_id: int
    ledger: dict[str, float]


class GroupsReformed(msgspec.Struct, frozen=True):
    """Ranks form other groups; a group whose number and size stay has gone on undisturbed.

    Attributes:
        groups: all groups from now on, as pairs of number and size.
        ledger: last seconds of those that are no more, summed, by activity.
    """

    groups: tuple[tuple[int, int], ...]
    ledger: dict[str, float]


class MemberEmigrated(msgspec.Struct, frozen=True):
    """A member goes to another part of the world."""

    member_id: int
    part: int


class Origin(msgspec.Struct, frozen=True):
    """Whence an immigrant comes: the part of the world, and its id there."""

    part: int
    member_id: int


class MemberImmigrated(msgspec.Struct, frozen=True):
    """A member of another part was admitted.

    Attributes:
        member: as it is known here: its id is negative, and it has no parents.
        evaluation: that of the other part.
        origin: who it was there.
    """

    member: Member
    evaluation: Evaluation
    origin: Origin


class TestRead(msgspec.Struct, frozen=True):
    """A group has read the test split with the best member.

    Attributes:
        group: its number.
        member_id: of the best.
        metrics: of the test split, by name.
        ledger: the group's seconds since it last handed any in, by activity.
    """

    __test__ = False  # no test of pytest's, though its name begins like one

    group: int
    member_id: int
    metrics: dict[str, float]
    ledger: dict[str, float]


class RunEnded(msgspec.Struct, frozen=True):
    """The run, or this start of it, is over.

    Attributes:
        status: ``complete``, ``max_seconds`` or ``failed``.
        front: ids of the Pareto front, the best first; with one objective the best alone.
        ledger: last seconds of all groups, summed, by activity.
    """

    status: str
    front: tuple[int, ...]
    ledger: dict[str, float]


Event = (
    RunBegan
    | RunResumed
    | MemberAsked
    | OrderSent
    | MemberTold
    | MemberRetrained
    | OrderFailed
    | GroupsReformed
    | MemberEmigrated
    | MemberImmigrated
    | TestRead
    | RunEnded
)

EVENTS: dict[str, type[Event]] = {
    "run": RunBegan,
    "resume": RunResumed,
    "ask": MemberAsked,
    "order": OrderSent,
    "tell": MemberTold,
    "repeat": MemberRetrained,
    "unobtainable": OrderFailed,
    "regroup": GroupsReformed,
    "emigrate": MemberEmigrated,
    "immigrate": MemberImmigrated,
    "test": TestRead,
    "end": RunEnded,
}


def from_json(word: str, content: Mapping[str, Any]) -> Event:
    """The event that a line of the journal tells of.

    Args:
        word: of the event.
        content: its fields, as JSON has them; others besides are passed over.

    Raises:
        ValueError: there is no such event, or a field is missing or of another type; in one line.
    """
    if word not in EVENTS:
        raise ValueError(f"unknown event {word!r}")
    member, evaluation = content.get("member"), content.get("evaluation")
    if isinstance(member, dict) and "weights_crossover" in member:  # of format 1; null for a clone
        content = {**content, "member": {**member, "inheritance": member["weights_crossover"] or "clone"}}
    if isinstance(evaluation, dict) and (nan := _nan_in(evaluation)):
        content = {**content, "evaluation": {**evaluation, **nan}}
    elif nan := _nan_in(content):
        content = {**content, **nan}
    return msgspec.convert(content, EVENTS[word])


def _nan_in(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that are NaN or hold any: JSON has none, so null stands where a number was none."""
    found: dict[str, Any] = {}
    if measured.get("fom", 0.0) is None:
        found["fom"] = math.nan
    metrics = measured.get("metrics")
    if isinstance(metrics, dict) and None in metrics.values():
        found["metrics"] = {name: math.nan if value is None else value for name, value in metrics.items()}
    return found
