"""What coordinator and leaders say to each other. Frozen data; one report in and one order out per evaluation.

Ranks are named by their ids, and a group by the id of its leader.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from nestedga.population.member import Evaluation, Genotype, Member, Status


class OrderKind(Enum):
    """What a group is to do."""

    TRAIN = "train"
    RETRAIN = "retrain"  # an interval again whose state was lost; it must give the journalled evaluation
    TEST = "test"  # read the test split, once, with the best member's weights
    REGROUP = "regroup"  # its ranks form other groups, perhaps with others' ranks
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Source:
    """A state, and who has it.

    Attributes:
        member_id: whose state.
        holders: leaders that hold it or are about to, best first; one that is about to answers once it does.
        genotype: that member's, for a child whose own state is made of it.
    """

    member_id: int
    holders: tuple[int, ...]
    genotype: Genotype = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Order:
    """Coordinator to an idle leader.

    Attributes:
        kind: what to do.
        member: with whom; None for REGROUP and STOP.
        sources: the states it begins with.
        drop: states that nobody wants any more.
        groups: for REGROUP, the ranks of each new group that takes ranks of this one, its leader first.
    """

    kind: OrderKind
    member: Member | None = None
    sources: tuple[Source, ...] = ()
    drop: tuple[int, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Prefetch:
    """Coordinator to a leader that waits for no order: it is busy, or leads no more.

    Attributes:
        sources: what its next order will probably begin with, to be fetched while it trains.
        drop: states that nobody wants any more.
    """

    sources: tuple[Source, ...] = ()
    drop: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Ready:
    """A group waits for its first order."""

    group: int


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A group has trained its member, holds the state, and waits for the next order.

    Attributes:
        group: its number.
        evaluation: the member's.
        durable: states that it has brought to disk since its last report.
    """

    group: int
    evaluation: Evaluation
    durable: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Tested:
    """A group has read the test split, and waits for the next order."""

    group: int
    metrics: dict[str, float]
    ledger: dict[str, float]


@dataclass(frozen=True, slots=True)
class Durable:
    """States are on disk; said by a group that waits for an order, for else it comes with the next evaluation."""

    group: int
    member_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Dissolved:
    """A group is no more, for its ranks form others; its last seconds."""

    group: int
    ledger: dict[str, float]


@dataclass(frozen=True, slots=True)
class Stopped:
    """A group has left; its last seconds, and the states that it has brought to disk since its last report."""

    group: int
    ledger: dict[str, float]
    durable: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Unobtainable:
    """A group cannot carry out its order, and waits for another: a state is neither with a holder nor intact on disk.

    Attributes:
        group: its number.
        member_id: whose state was not to be had.
        ledger: its seconds since its previous report.
    """

    group: int
    member_id: int
    ledger: dict[str, float]


Report = Ready | Evaluated | Tested | Durable | Dissolved | Stopped | Unobtainable


@dataclass(frozen=True, slots=True)
class Migrant:
    """Coordinator to coordinator: a member of its part, whose state's file waits in the other's folder.

    Attributes:
        part: whence it comes.
        member: as it was known there.
        evaluation: likewise, in the user's sign.
    """

    part: int
    member: Member
    evaluation: Evaluation


@dataclass(frozen=True, slots=True)
class Ended:
    """Coordinator to coordinator: the last word of a part; nobody comes from there any more, and nobody may go there.

    Attributes:
        part: which has ended.
    """

    part: int


Letter = Migrant | Ended


@dataclass(frozen=True, slots=True)
class Failure:
    """Rank to the other ranks of its group: the interval of a member has failed here.

    Attributes:
        echo: whether it failed only because a partner did.
        message: one line for people.
        log: what is worth reading beside it, "" where there is nothing.
        status: how the interval ended.
    """

    echo: bool
    message: str
    log: str
    status: Status


@dataclass(frozen=True, slots=True)
class StateRequest:
    """Leader to leader: a state is wanted.

    Attributes:
        epoch: number of the one in which it is asked for.
        member_id: whose state.
        tag: under which the answer is to be sent: a header, or None for "not here", then the buffer in pieces.
    """

    epoch: int
    member_id: int
    tag: int


@dataclass(frozen=True, slots=True)
class StateHeader:
    """What comes before the buffer of a state.

    Attributes:
        member_id: whose state.
        entries: the manifest: of each tensor its name, dtype, shape, offset and number of bytes.
        checksum: CRC-32 of manifest and buffer.
        num_bytes: size of the buffer.
    """

    member_id: int
    entries: tuple[tuple[str, str, tuple[int, ...], int, int], ...]
    checksum: int
    num_bytes: int
