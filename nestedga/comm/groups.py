"""The nested split: world, inner and outer communicator of this rank."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from nestedga.comm.launcher import launched_local_size
from nestedga.comm.layout import Layout
from nestedga.comm.waiting import broadcast, finish, gather_all

if TYPE_CHECKING:
    from mpi4py import MPI

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Groups:
    """Where this rank stands.

    Attributes:
        world: all ranks.
        training: the ranks of this group, for Horovod alone.
        inner: the same ranks, for everything else (a message must never meet one of Horovod's).
        outer: the leaders, by group; None on ranks that do not lead.
        control: the leaders again, for orders and reports; None likewise.
        layout: sizes of all groups.
        group: number of this group.
        node_rank: position among the world's ranks of this node; the device is taken from it, because Horovod's own
            local rank counts within the group and two groups on a node would both begin at device 0.
        node_size: ranks of the world on this node.
    """

    world: MPI.Comm
    training: MPI.Comm
    inner: MPI.Comm
    outer: MPI.Comm | None
    control: MPI.Comm | None
    layout: Layout
    group: int
    node_rank: int
    node_size: int

    @property
    def world_rank(self) -> int:
        return int(self.world.Get_rank())

    @property
    def inner_rank(self) -> int:
        return int(self.inner.Get_rank())

    @property
    def inner_size(self) -> int:
        return int(self.inner.Get_size())

    @property
    def is_leader(self) -> bool:
        return self.inner_rank == 0


def start_mpi(threads_per_rank: int) -> MPI.Comm:
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


@contextlib.contextmanager
def split(world: MPI.Comm, layout: Layout) -> Iterator[Groups]:
    """Splits the world as laid out; frees the communicators at the end."""
    from mpi4py import MPI

    world_rank = world.Get_rank()
    group = layout.group_of(world_rank)
    inner = world.Split(group, world_rank)
    leads = inner.Get_rank() == 0
    outer = world.Split(0 if leads else MPI.UNDEFINED, world_rank)
    node = world.Split_type(MPI.COMM_TYPE_SHARED, world_rank)
    comms = [inner, inner.Dup(), node] + ([outer, outer.Dup()] if leads else [])
    for comm in comms:
        comm.Set_errhandler(MPI.ERRORS_RETURN)
    yield Groups(
        world=world,
        training=comms[1],
        inner=inner,
        outer=outer if leads else None,
        control=comms[4] if leads else None,
        layout=layout,
        group=group,
        node_rank=node.Get_rank(),
        node_size=node.Get_size(),
    )
    # Only after a good end: freeing is collective, and after a fault other threads may still be using them.
    for comm in reversed(comms):
        comm.Free()


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
