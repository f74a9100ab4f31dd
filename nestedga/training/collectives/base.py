"""What training asks of a package that sums over the ranks of a group."""

from __future__ import annotations

from typing import Any, Protocol

import torch


class Collectives(Protocol):
    """The collectives of one group, open from construction until ``close``.

    All ranks of the group make one together and call the same methods in the same order, from one thread. A rank has at
    most one open at a time, and none where it is alone.

    Args:
        comm: the group's communicator (mpi4py), which nobody else uses. It stays its owner's, who frees it after
            ``close``; until then another may be opened on it, as after a failure.
    """

    sums_on_gpus: bool
    """Whether it sums tensors on GPUs where they are, if each rank of the group has one of its own (as NCCL asks for).
    Others are handed tensors in the host's memory alone."""

    def __init__(self, comm: Any) -> None: ...

    def sum_(self, tensor: torch.Tensor, name: str) -> None:
        """In place: the sum over the ranks, the same bits on each.

        It is complete on return; on a GPU, for whatever is queued there next.

        Args:
            tensor: contiguous, of one shape and type on all ranks: float64, float32, or float16, to which gradients are
                compressed.
            name: the same on all ranks.

        Raises:
            PartnerLost: a partner has closed, instead of calling this.
        """
        ...

    def broadcast_(self, tensor: torch.Tensor, name: str) -> None:
        """In place: the values of the group's first rank; of any type, bytes too, in the host's memory. As ``sum_``."""
        ...

    def gather(self, value: Any, name: str) -> list[Any]:
        """Each rank's value, by rank, on every rank; anything that can be pickled. As ``sum_``."""
        ...

    def close(self) -> None:
        """Ends it, at any time and on any rank alone; again is harmless.

        Partners that wait for this rank in a collective, or will, get ``PartnerLost`` at once.
        """
        ...
