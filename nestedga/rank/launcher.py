"""What the launcher says through the environment, before MPI is started."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

# How launchers name the rank of a process: Open MPI, PMIx, MPICH and Cray, Slurm's srun.
RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID")
LOCAL_SIZE_VARIABLES = (
    "OMPI_COMM_WORLD_LOCAL_SIZE",
    "MPI_LOCALNRANKS",
    "PMI_LOCAL_SIZE",
    "SLURM_NTASKS_PER_NODE",
)

# What launchers tell a process so that it takes itself for a rank: Open MPI, PMIx and PRRTE, MPICH, MVAPICH, Cray, IBM,
# Flux, Slurm; and Horovod.
LAUNCHERS = (
    *("OMPI_", "OPAL_", "PMIX_", "PRTE_", "PMI_", "HYDI_", "HYDRA_", "MPI_LOCAL", "MPIEXEC_", "MV2_COMM_", "PALS_"),
    *("ALPS_", "JSM_", "FLUX_", "SLURM_", "HOROVOD_"),
)
# What begins like these but says nothing of ranks; with SLURM_JOB_ID an srun of its own finds the allocation.
KEPT = ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "SLURM_CONF", "SLURM_JOB_ID", "SLURM_TMPDIR")


def launched_rank() -> int | None:
    """This process's world rank by the launcher's word; None without a launcher."""
    return _first_number(RANK_VARIABLES)


def launched_local_size() -> int:
    """Ranks on this node by the launcher's word; 1 where it says nothing."""
    return _first_number(LOCAL_SIZE_VARIABLES) or 1


def environment() -> dict[str, str]:
    """That of a child process: this one's, without what makes a child take itself for one of our ranks."""
    return {name: value for name, value in os.environ.items() if name in KEPT or not name.startswith(LAUNCHERS)}


def die_with_launcher() -> None:
    """Ranks whose launcher was killed would live on and write: let them end with it."""
    if launched_rank() is not None:
        die_with_parent()


def die_with_parent() -> None:
    """The kernel ends this process when the one that started it is no more (Linux only)."""
    if sys.platform == "linux":
        parent = os.getppid()
        pr_set_pdeathsig = 1  # linux/prctl.h
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the call
            os.kill(os.getpid(), signal.SIGKILL)


def _first_number(names: tuple[str, ...]) -> int | None:
    for name in names:
        if (text := os.environ.get(name, "").split("(")[0]).isdigit():  # Slurm writes "4(x2)"
            return int(text)
    return None
