"""How all ranks get on together: in one voice, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from nestedga.comm.waiting import finish
from nestedga.comm.world import World

T = TypeVar("T")


class Elsewhere(Exception):
    """Another rank has failed and reports it; this one has only to end."""


def agree(world: World, action: Callable[[], T]) -> T:
    """Runs an action on every rank. Where any fails, the lowest that failed raises its exception, the others Elsewhere.

    So a setting that fails on one node alone ends the job in one voice instead of leaving the others waiting. Every
    rank waits as long as the others act; the end of the epoch ends that.
    """
    epoch = world.epoch
    result, error = _attempt(action)
    failed = epoch.gather(error is not None)
    return _agreed(result, error, failed.index(True) if any(failed) else None, epoch.comm.Get_rank())


def decide(world: World, action: Callable[[], T]) -> T:
    """Runs an action on world rank 0 alone and gives its result, plain data, to every rank; else as ``agree``."""
    epoch = world.epoch
    rank = epoch.comm.Get_rank()
    result, error = _attempt(action) if rank == 0 else (None, None)
    shared: tuple[T | None, bool] = epoch.broadcast((result, error is not None))
    return _agreed(shared[0], error, 0 if shared[1] else None, rank)


def meet(world: World) -> None:
    """A barrier that sleeps; every rank waits as long as the others work, and the end of the epoch ends that."""
    epoch = world.epoch
    finish(epoch.comm.Ibarrier(), epoch.ended, "all ranks")


def _attempt(action: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return action(), None
    except Exception as error:  # noqa: BLE001 (handed to all ranks)
        return None, error


def _agreed(result: T | None, error: Exception | None, reporter: int | None, rank: int) -> T:
    if reporter is not None:
        raise (error if error is not None and rank == reporter else Elsewhere(f"world rank {reporter} has failed"))
    return result  # type: ignore[return-value]
