"""Where every rank stands now: what holds of the world until ranks leave it, join it or are put in another order."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nestedga.comm.waiting import broadcast, gather_all

if TYPE_CHECKING:
    from mpi4py import MPI


@dataclass(frozen=True, slots=True, eq=False)
class Epoch:
    """One numbered state of the world. Two of them are the same only if they are one object.

    Nobody keeps an epoch or its communicators for longer than a call: the world gives the present one.

    Attributes:
        number: 0, 1, 2, ... in the order in which they are entered; the same on all ranks.
        ids: of the ranks, by their number in these communicators.
        world_ranks: the reverse: number in these communicators of each rank, by its id.
        nodes: the node of each rank, by its id; a node is named by the lowest id on it.
        comm: all ranks, for collectives.
        control: the same ranks, for orders and reports.
        states: the same, for the states that leaders send each other.
        lifeline: the same, for the end of the job.
        ended: set once another epoch has been entered; it ends whatever waits for something in this one. (What else
            ends such a wait is the end of the process, which the lifeline and the watchdog own.)
    """

    number: int
    ids: tuple[int, ...]
    world_ranks: Mapping[int, int]
    nodes: Mapping[int, int]
    comm: MPI.Intracomm
    control: MPI.Intracomm
    states: MPI.Intracomm
    lifeline: MPI.Intracomm
    ended: threading.Event = field(default_factory=threading.Event)

    def broadcast(self, value: Any) -> Any:
        """Collective: a value of the first rank (world rank 0) on every rank; ended by ``ended``."""
        return broadcast(self.comm, value, self.ended, "world rank 0")

    def gather(self, value: Any) -> list[Any]:
        """Collective: every rank's value on all ranks, by world rank; ended by ``ended``."""
        return gather_all(self.comm, value, self.ended, "all ranks")
