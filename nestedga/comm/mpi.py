"""MPI itself: started once, and what it calls itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nestedga.rank.launcher import launched_local_size

if TYPE_CHECKING:
    from mpi4py import MPI


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
    return duplicate(MPI.COMM_WORLD)


def duplicate(comm: MPI.Intracomm) -> MPI.Intracomm:
    """Collective: a communicator of the same ranks whose messages never meet those of the other, and whose errors are
    exceptions."""
    from mpi4py import MPI

    copy = comm.Dup()
    copy.Set_errhandler(MPI.ERRORS_RETURN)
    return copy


def library_version() -> str:
    """Name and version of the MPI library, as in "Open MPI v5.0.11"."""
    from mpi4py import MPI

    return str(MPI.Get_library_version().split(",")[0].splitlines()[0])
