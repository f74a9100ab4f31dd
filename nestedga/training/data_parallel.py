"""The ranks of a group as training sees them."""

from __future__ import annotations

import platform
import time
from typing import Any

import numpy as np
import torch

from nestedga.errors import SettingError
from nestedga.training.collectives import find_collectives
from nestedga.training.collectives.base import Collectives
from nestedga.training.device import hardware_of

NAP_SECONDS = 1e-3  # between two looks at a vote


class DataParallel:
    """Sums and broadcasts over the ranks of a group; every rank of it does every call.

    A rank alone has nobody to sum with: it opens no collectives, and loads no package for them.

    Args:
        comm: the group's communicator.
        collectives: what the group sums with, by its name in ``training.collectives``.
        may_grow: a rank that is alone now may have partners later, so that the package must be there.

    Attributes:
        rank, size: of the group.

    Raises:
        SettingError: one of the group's ranks has no such package; all say so, and nobody waits for it.
    """

    def __init__(self, comm: Any, collectives: str, *, may_grow: bool = False) -> None:
        self._name = collectives
        self._may_grow = may_grow
        self._through_host = True
        self._open(comm)

    def _open(self, comm: Any) -> None:
        self._comm, self.rank, self.size = comm, comm.Get_rank(), comm.Get_size()
        self._collectives: Collectives | None = None
        if self.size == 1 and not self._may_grow:
            return
        kind, refusal = None, None
        try:
            kind = find_collectives(self._name)
        except SettingError as error:
            refusal = error
        if not _all_have(comm, kind is not None) or kind is None:
            raise refusal or SettingError(
                f"training.collectives={self._name}: another rank of the group cannot import its package"
            )
        self._collectives = kind(comm) if self.size > 1 else None

    def agree_on(self, device: torch.device | None) -> bool:
        """Says where this rank computes; every rank of the group together. False where one has no device.

        Tensors on GPUs are summed there where the collectives can and each rank has a GPU of its own, which NCCL asks
        for; else through the host's memory, so that several ranks of a group may share a GPU.
        """
        if self._collectives is None:
            return device is not None
        here = None if device is None else (platform.node(), hardware_of(device))
        places = self._collectives.gather(here, "devices")
        apart = len(set(places)) == self.size and all(place is not None and place[1] != "cpu" for place in places)
        self._through_host = not (apart and self._collectives.sums_on_gpus)
        return all(place is not None for place in places)

    def sum_(self, tensor: torch.Tensor, name: str, *, compress: bool = False) -> None:
        """In place: the sum over the ranks, the same bits on each. One tensor, one reduction.

        Args:
            tensor: contiguous, of one shape and type on all ranks.
            name: the same on all ranks.
            compress: send and sum 16 bits of each number.

        Raises:
            PartnerLost: a partner has closed instead.
        """
        if self._collectives is None:
            return
        small = tensor.half() if compress else tensor
        sent = _on_host(small) if small.is_cuda and self._through_host else small
        self._collectives.sum_(sent, name)
        if sent is not tensor:
            tensor.copy_(sent, non_blocking=True)

    def broadcast_(self, tensor: torch.Tensor, name: str) -> None:
        """In place: rank 0's values; on the host. Otherwise as ``sum_``."""
        if self._collectives is not None:
            self._collectives.broadcast_(tensor, name)

    def close(self) -> None:
        """Also frees partners that wait in a collective: they get ``PartnerLost``."""
        if self._collectives is not None:
            self._collectives.close()

    def restart(self) -> None:
        """Gets collectives going again after a failure; a few milliseconds."""
        self.move(self._comm)

    def move(self, comm: Any) -> None:
        """Goes on with the ranks of another communicator; the one before may be freed once it is closed."""
        self.close()
        self._open(comm)


def _all_have(comm: Any, mine: bool) -> bool:
    """Whether all ranks say yes; sleeps while they come up, and the watchdog limits how long."""
    said = np.zeros(comm.Get_size(), np.int8)
    vote = comm.Iallgather(np.array([mine], np.int8), said)
    while not vote.Test():
        time.sleep(NAP_SECONDS)
    return bool(said.all())


def _on_host(tensor: torch.Tensor) -> torch.Tensor:
    """A copy in page-locked memory, complete."""
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return copy.copy_(tensor)
