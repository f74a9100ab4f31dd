"""What the launcher says through the environment, before MPI is started."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

# How launchers name the rank of a process: Open MPI, PMIx, MPICH and Cray, Slurm's srun.
RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID")
SIZE_VARIABLES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS")
LOCAL_SIZE_VARIABLES = (
    "OMPI_COMM_WORLD_LOCAL_SIZE",
    "MPI_LOCALNRANKS",
    "PMI_LOCAL_SIZE",
    "SLURM_NTASKS_PER_NODE",
)


def launched_rank() -> int | None:
    """This process's world rank by the launcher's word; None without a launcher."""
    return _first_number(RANK_VARIABLES)


def launched_size() -> int:
    """Ranks in the world by the launcher's word; 1 where it says nothing."""
    return _first_number(SIZE_VARIABLES) or 1


def launched_local_size() -> int:
    """Ranks on this node by the launcher's word; 1 where it says nothing."""
    return _first_number(LOCAL_SIZE_VARIABLES) or 1


def die_with_launcher() -> None:
    """Ranks whose launcher was killed would live on and write: let the kernel end them with it (Linux only)."""
    if sys.platform == "linux" and launched_rank() is not None:
        launcher = os.getppid()
        pr_set_pdeathsig = 1  # linux/prctl.h
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
        if os.getppid() != launcher:  # it died before the call
            os.kill(os.getpid(), signal.SIGKILL)


def _first_number(names: tuple[str, ...]) -> int | None:
    for name in names:
        if (text := os.environ.get(name, "").split("(")[0]).isdigit():  # Slurm writes "4(x2)"
            return int(text)
    return None
