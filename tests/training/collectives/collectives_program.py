"""Under mpirun: what ``Collectives`` promises, asked of the class that the command line names by its setting."""

import sys
import time

import numpy as np
import pytest
import torch
from mpi4py import MPI

from nestedga.comm.mpi import start_mpi
from nestedga.errors import PartnerLost
from nestedga.training.collectives import find_collectives
from nestedga.training.data_parallel import DataParallel

NUM_NUMBERS = 1 << 16
EXACT = {torch.float64: 1e-15, torch.float32: 1e-6, torch.float16: 1e-3}  # about the spacing of numbers, relative


def draw(rank, dtype):
    numbers = np.random.default_rng(rank).standard_normal(NUM_NUMBERS)
    return torch.from_numpy(numbers).to(dtype)


def everywhere_the_same(comm, tensor):
    """Bit by bit; NaN and minus zero too."""
    return len(set(comm.allgather(tensor.numpy().tobytes()))) == 1


def sums_are_right(world, collectives, size, dtype):
    tensor = draw(world.Get_rank(), dtype)
    collectives.sum_(tensor, f"sum {dtype}")
    drawn = torch.stack([draw(rank, dtype).double() for rank in range(size)])
    assert ((tensor.double() - drawn.sum(0)).abs() <= 2 * size * EXACT[dtype] * drawn.abs().sum(0)).all(), dtype
    assert everywhere_the_same(world, tensor), dtype


def all_it_can(world, collectives, rank, size):
    for dtype in EXACT:
        sums_are_right(world, collectives, size, dtype)
    spoilt = torch.full((3,), float("nan") if rank == size - 1 else 1.0)
    collectives.sum_(spoilt, "no number")  # one rank's overflow must be seen by all
    assert spoilt.isnan().all()
    for dtype in (torch.uint8, torch.float32, torch.float64):
        sent = torch.arange(1000).to(dtype) * (1 if rank == 0 else 0)
        collectives.broadcast_(sent, f"broadcast {dtype}")
        assert torch.equal(sent, torch.arange(1000).to(dtype)), dtype
    values = collectives.gather({"rank": rank, "text": "x" * 1000 * rank}, "values")  # of different lengths
    assert values == [{"rank": at, "text": "x" * 1000 * at} for at in range(size)]


def one_leaves(world, kind, rank, size):
    """Whoever waits for a rank that closes is freed, whatever it waits for; then they begin again as if nothing was."""
    waits = {
        "sum": lambda collectives: collectives.sum_(torch.ones(10), "left"),
        "broadcast": lambda collectives: collectives.broadcast_(torch.ones(10), "left"),
        "gather": lambda collectives: collectives.gather(rank, "left"),
    }
    for leaver in (0, size - 1):
        for wait in waits.values():
            comm = world.Dup()
            collectives = kind(comm)
            sums_are_right(world, collectives, size, torch.float32)
            if rank == leaver:
                time.sleep(0.1 if leaver else 0.0)  # they wait already; or they come later
                collectives.close()
            else:
                with pytest.raises(PartnerLost):
                    wait(collectives)
            collectives.close()
            collectives.close()  # harmless
            assert world.allgather(rank) == list(range(size))  # as the group agrees on the cause
            again = kind(comm)
            sums_are_right(world, again, size, torch.float32)
            again.close()
            comm.Free()


def made_on_others(world, name, rank, size):
    """The same ranks the other way round, then each alone, then all again, through what training uses."""
    turned, alone, whole = world.Split(0, -rank), world.Split(rank), world.Dup()
    parallel = DataParallel(turned, name)
    assert (parallel.rank, parallel.size) == (size - 1 - rank, size)
    assert parallel.agree_on(torch.device("cpu"))
    assert not parallel.agree_on(None if rank == 0 else torch.device("cpu"))  # said by all
    first = torch.tensor([float(rank)])
    parallel.broadcast_(first, "first")
    assert first.item() == size - 1

    compressed, plain = draw(rank, torch.float32), draw(rank, torch.float32)
    parallel.sum_(compressed, "compressed", compress=True)
    parallel.sum_(plain, "plain")
    assert compressed.dtype == torch.float32
    assert torch.equal(compressed, compressed.half().float()) and not torch.equal(compressed, plain)
    torch.testing.assert_close(compressed, plain, rtol=2e-3, atol=2e-2)
    assert everywhere_the_same(world, compressed) and everywhere_the_same(world, plain)

    parallel.move(alone)
    turned.Free()
    mine = torch.tensor([float(rank)])
    parallel.sum_(mine, "alone")
    parallel.broadcast_(mine, "alone")
    assert mine.item() == rank and parallel.size == 1
    parallel.move(whole)
    for _ in range(3):
        parallel.restart()
        total = torch.ones(1)
        parallel.sum_(total, "all")
        assert total.item() == size
    parallel.close()
    for comm in (alone, whole):
        comm.Free()


def main(name):
    world = start_mpi(1)
    rank, size, kind = world.Get_rank(), world.Get_size(), find_collectives(name)
    comm = world.Dup()
    collectives = kind(comm)
    all_it_can(world, collectives, rank, size)
    collectives.close()
    comm.Free()
    one_leaves(world, kind, rank, size)
    made_on_others(world, name, rank, size)
    if rank == 0:
        print("all promises kept")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
        MPI.COMM_WORLD.Abort(1)
