"""The group as one Horovod job."""

from __future__ import annotations

from typing import Any

import horovod.torch as hvd
import torch

from nestedga.errors import SettingError


class DataParallel:
    """Sums and broadcasts over the ranks of a group.

    Args:
        comm: the group's communicator. Each group is a Horovod world of its own: groups never wait for each other.
            (Process sets would couple them, and a list of ranks makes a stranger fall back to the world unseen.)
    """

    def __init__(self, comm: Any) -> None:
        self._comm = comm
        hvd.init(comm=comm)

    @property
    def rank(self) -> int:
        return int(hvd.rank())

    @property
    def size(self) -> int:
        return int(hvd.size())

    def sum_(self, tensor: torch.Tensor, name: str) -> None:
        """In place: the sum over the ranks, the same bits on each. One tensor, one reduction."""
        if self.size > 1:
            hvd.allreduce_(tensor, op=hvd.Sum, name=name)

    def broadcast_(self, tensor: torch.Tensor, name: str) -> None:
        """In place: rank 0's values."""
        if self.size > 1:
            hvd.broadcast_(tensor, root_rank=0, name=name)

    def close(self) -> None:
        """Also frees partners that wait in a collective: they get HorovodInternalError."""
        hvd.shutdown()

    def restart(self) -> None:
        """Gets collectives going again after a failure; a few milliseconds."""
        self.move(self._comm)

    def move(self, comm: Any) -> None:
        """Goes on with the ranks of another communicator; the one before may be freed once it is closed."""
        hvd.shutdown()
        self._comm = comm
        hvd.init(comm=comm)


def pick_device(wanted: str, node_rank: int, alone: bool) -> torch.device:
    """The device of this rank.

    Args:
        wanted: ``cpu``, ``cuda`` or ``auto`` (cuda where torch has it and the group can reduce there).
        node_rank: position among all ranks of the node, so that groups on one node do not meet on device 0.
        alone: the group has one rank, so that no reduction is needed.

    Raises:
        SettingError: ``cuda`` where there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise SettingError("training.device=cuda, but torch sees no GPU here; use auto or cpu")
    usable = torch.cuda.is_available() and (alone or bool(hvd.nccl_built()))
    if wanted == "cuda" or (wanted == "auto" and usable):
        device = torch.device("cuda", node_rank % torch.cuda.device_count())
        torch.cuda.set_device(device)
        return device
    return torch.device("cpu")
