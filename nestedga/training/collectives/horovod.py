"""The group as one Horovod job."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import horovod.torch as hvd
import torch

from nestedga.errors import PartnerLost

P = ParamSpec("P")
T = TypeVar("T")

# Between two looks of Horovod for what is to be summed; its own default is 1. There is one sum a step here, which waits
# for half of it: in steps of 4 ms that is a tenth.
CYCLE_MILLISECONDS = "0.3"


def _naming_partners(collective: Callable[P, T]) -> Callable[P, T]:
    """Horovod's error for a collective that somebody has left, in our words."""

    @functools.wraps(collective)
    def named(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return collective(*args, **kwargs)
        except hvd.HorovodInternalError as error:
            raise PartnerLost(f"a partner has left the group's collectives: {error}") from error

    return named


class HorovodCollectives:
    """Each group is a Horovod world of its own: groups never wait for each other.

    (Process sets would couple them, and a list of ranks makes a stranger fall back to the world unseen.) Horovod has
    one world a process, which a thread looks after: it wakes some thousand times a second.
    """

    def __init__(self, comm: Any) -> None:
        os.environ.setdefault("HOROVOD_CYCLE_TIME", CYCLE_MILLISECONDS)
        hvd.init(comm=comm)
        self.sums_on_gpus = bool(hvd.nccl_built())

    @_naming_partners
    def sum_(self, tensor: torch.Tensor, name: str) -> None:
        hvd.allreduce_(tensor, op=hvd.Sum, name=name)

    @_naming_partners
    def broadcast_(self, tensor: torch.Tensor, name: str) -> None:
        hvd.broadcast_(tensor, root_rank=0, name=name)

    @_naming_partners
    def gather(self, value: Any, name: str) -> list[Any]:
        return list(hvd.allgather_object(value, name=name))

    def close(self) -> None:
        hvd.shutdown()
