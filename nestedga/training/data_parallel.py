"""The group as one Horovod job."""

from __future__ import annotations

import os
import platform
from typing import Any

import horovod.torch as hvd
import torch

from nestedga.errors import SettingError

# Between two looks of Horovod for what is to be summed; its own default is 1. There is one sum a step here, which waits
# for half of it: in steps of 4 ms that is a tenth.
CYCLE_MILLISECONDS = "0.3"


class DataParallel:
    """Sums and broadcasts over the ranks of a group.

    Args:
        comm: the group's communicator. Each group is a Horovod world of its own: groups never wait for each other.
            (Process sets would couple them, and a list of ranks makes a stranger fall back to the world unseen.) A rank
            alone has nobody to sum with, and no need of Horovod's thread, which wakes a thousand times a second.

    Attributes:
        rank, size: of the group.
    """

    def __init__(self, comm: Any) -> None:
        self._through_host = True
        self._open(comm)

    def _open(self, comm: Any) -> None:
        self._comm, self.rank, self.size = comm, comm.Get_rank(), comm.Get_size()
        if self.size > 1:
            os.environ.setdefault("HOROVOD_CYCLE_TIME", CYCLE_MILLISECONDS)
            hvd.init(comm=comm)

    def agree_on(self, device: torch.device | None) -> bool:
        """Says where this rank computes; every rank of the group together. False where one has no device.

        Tensors on GPUs are summed there where Horovod has NCCL and each rank has a GPU of its own, which NCCL asks for;
        else through the host's memory, so that several ranks of a group may share a GPU.
        """
        if self.size == 1:
            return device is not None
        places = hvd.allgather_object((platform.node(), _identity(device)), name="devices")
        apart = len(set(places)) == self.size and all(where != "cpu" for _, where in places)
        self._through_host = not (apart and hvd.nccl_built())
        return all(where != "None" for _, where in places)

    def sum_(self, tensor: torch.Tensor, name: str, *, compress: bool = False) -> None:
        """In place: the sum over the ranks, the same bits on each. One tensor, one reduction.

        Args:
            tensor: contiguous, of one shape and type on all ranks.
            name: the same on all ranks.
            compress: send and sum 16 bits of each number.
        """
        if self.size == 1:
            return
        compression = hvd.Compression.fp16 if compress else hvd.Compression.none
        small, kind = compression.compress(tensor)
        sent = _on_host(small) if small.is_cuda and self._through_host else small
        hvd.allreduce_(sent, op=hvd.Sum, name=name)
        if sent is not tensor:
            tensor.copy_(compression.decompress(sent, kind), non_blocking=True)

    def broadcast_(self, tensor: torch.Tensor, name: str) -> None:
        """In place: rank 0's values; on the host."""
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
        self._open(comm)


def _identity(device: torch.device | None) -> str:
    """Which one of a node it is: where a rank sees one GPU alone, each is ``cuda:0``, and NCCL goes by their place."""
    if device is None or device.type == "cpu":
        return str(device)
    properties = torch.cuda.get_device_properties(device)
    where = (
        getattr(properties, f"pci_{part}_id", device) for part in ("domain", "bus", "device")
    )  # torch 2.8 has them
    return ":".join(map(str, where))


def _on_host(tensor: torch.Tensor) -> torch.Tensor:
    """A copy in page-locked memory, complete."""
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return copy.copy_(tensor)


def pick_device(wanted: str, node_rank: int) -> torch.device:
    """The device of this rank.

    Args:
        wanted: ``cpu``, ``cuda`` or ``auto`` (cuda where torch has it).
        node_rank: position among all ranks of the node, so that groups on one node do not meet on device 0. Where there
            are more ranks than devices, they share.

    Raises:
        SettingError: ``cuda`` where there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise SettingError("training.device=cuda, but torch sees no GPU here; use auto or cpu")
    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", node_rank % torch.cuda.device_count())
    torch.cuda.set_device(device)
    torch.backends.cudnn.deterministic = True  # a member trained again after a crash should come out the same
    return device
