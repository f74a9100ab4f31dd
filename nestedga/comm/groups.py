"""The nested split: the world, the group of this rank, and how both agree on something."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from nestedga.comm.waiting import broadcast, finish, gather_all
from nestedga.rank.launcher import launched_local_size

if TYPE_CHECKING:
    from mpi4py import MPI

T = TypeVar("T")


class World:
    """All ranks: where this one stands among them, and how it joins a group.

    Attributes:
        comm: all ranks, for collectives.
        control: the same, for orders and reports.
        states: the same, for the states that leaders send each other.
        nodes: the node of each world rank.
        node_rank: position among the world's ranks of this node; the device is taken from it, because Horovod's own
            local rank counts within the group and two groups on a node would both begin at device 0.
        node_size: ranks of the world on this node.
    """

    def __init__(self, comm: MPI.Intracomm) -> None:
        from mpi4py import MPI

        self.comm = comm
        self.control, self.states = _duplicate(comm), _duplicate(comm)
        node = comm.Split_type(MPI.COMM_TYPE_SHARED, comm.Get_rank())
        self.node_rank, self.node_size = int(node.Get_rank()), int(node.Get_size())
        first = int(broadcast(node, comm.Get_rank(), math.inf, "the ranks of this node"))
        node.Free()
        self.nodes: list[int] = gather_all(comm, first, math.inf, "all ranks")

    @property
    def rank(self) -> int:
        return int(self.comm.Get_rank())

    def form(self, groups: Iterable[tuple[int, ...]]) -> Group:
        """The one of these groups that this rank belongs to; collective over each group's ranks alone."""
        from mpi4py import MPI

        ranks = next(ranks for ranks in groups if self.rank in ranks)
        everybody = self.comm.Get_group()
        members = everybody.Incl(ranks)
        inner = self.comm.Create_group(members, tag=ranks[0])
        members.Free()
        everybody.Free()
        inner.Set_errhandler(MPI.ERRORS_RETURN)
        return Group(ranks, training=_duplicate(inner), inner=inner)

    def close(self) -> None:
        """Collective; only after a good end, for after a fault other threads may still be using them."""
        self.states.Free()
        self.control.Free()


@dataclass(frozen=True, slots=True)
class Group:
    """The group of this rank.

    Attributes:
        ranks: its world ranks, the leader first.
        training: its communicator for Horovod alone.
        inner: the same ranks, for everything else (a message must never meet one of Horovod's).
    """

    ranks: tuple[int, ...]
    training: MPI.Intracomm
    inner: MPI.Intracomm

    @property
    def number(self) -> int:
        """A group is named by its leader's world rank."""
        return self.ranks[0]

    @property
    def inner_rank(self) -> int:
        return int(self.inner.Get_rank())

    @property
    def is_leader(self) -> bool:
        return self.inner_rank == 0

    def free(self) -> None:
        """Collective in the group."""
        self.training.Free()
        self.inner.Free()


def _duplicate(comm: MPI.Intracomm) -> MPI.Intracomm:
    from mpi4py import MPI

    duplicate = comm.Dup()
    duplicate.Set_errhandler(MPI.ERRORS_RETURN)
    return duplicate


def start_mpi(threads_per_rank: int) -> MPI.Intracomm:
    """Initialises MPI and gives a duplicate of the world communicator.

    Open MPI's waits spin; where ranks and their threads fill the node, idle ranks must yield their core, or training
    is slowed by a third (2 ranks, 2 cores). The number of ranks on this node is the launcher's own word.
    """
    if launched_local_size() * threads_per_rank >= (os.cpu_count() or 1):
        os.environ.setdefault("OMPI_MCA_mpi_yield_when_idle", "1")
    from mpi4py import MPI

    if MPI.Query_thread() < MPI.THREAD_MULTIPLE:
        raise RuntimeError(
            f"{MPI.Get_library_version().splitlines()[0]} has no MPI_THREAD_MULTIPLE; states move in threads"
        )
    world = MPI.COMM_WORLD.Dup()
    world.Set_errhandler(MPI.ERRORS_RETURN)
    return world


class Elsewhere(Exception):
    """Another rank has failed and reports it; this one has only to end."""


def agree(comm: MPI.Comm, action: Callable[[], T]) -> T:
    """Runs an action on every rank. Where any fails, the lowest that failed raises its exception, the others Elsewhere.

    So a setting that fails on one node alone ends the job in one voice instead of leaving the others waiting.
    """
    result, error = _attempt(action)
    failed = gather_all(comm, error is not None, limit_seconds=math.inf, what="all ranks")
    return _agreed(result, error, reporter=failed.index(True) if any(failed) else None, rank=comm.Get_rank())


def decide(comm: MPI.Comm, action: Callable[[], T]) -> T:
    """Runs an action on rank 0 alone and gives its result on every rank; where it fails, as ``agree``."""
    result, error = _attempt(action) if comm.Get_rank() == 0 else (None, None)
    shared: tuple[T | None, bool] = broadcast(
        comm, (result, error is not None), limit_seconds=math.inf, what="world rank 0"
    )
    return _agreed(shared[0], error, reporter=0 if shared[1] else None, rank=comm.Get_rank())


def _attempt(action: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return action(), None
    except Exception as error:  # noqa: BLE001 (handed to all ranks)
        return None, error


def _agreed(result: T | None, error: Exception | None, reporter: int | None, rank: int) -> T:
    if reporter is not None:
        raise (error if error is not None and rank == reporter else Elsewhere(f"world rank {reporter} has failed"))
    return result  # type: ignore[return-value]


def meet(comm: MPI.Comm) -> None:
    """A barrier that sleeps; every rank waits as long as the others work."""
    finish(comm.Ibarrier(), math.inf, "all ranks")


def library_version() -> str:
    """Name and version of the MPI library, as in "Open MPI v5.0.11"."""
    from mpi4py import MPI

    return str(MPI.Get_library_version().split(",")[0].splitlines()[0])
