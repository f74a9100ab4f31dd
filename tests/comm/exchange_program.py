"""Under mpirun: the split, agreement, mail, and states that travel while others work."""

import sys
import time

import numpy as np
from mpi4py import MPI

from nestedga.comm.collectives import Collectives
from nestedga.comm.exchange import Channel
from nestedga.comm.groups import Elsewhere, agree, decide, meet, split, start_mpi
from nestedga.comm.layout import split_evenly
from nestedga.comm.states import StateStore
from nestedga.errors import SettingError
from nestedga.state import State


def state_of(number):
    return State.from_arrays({"weights/a": np.full(300_000, number, np.float32), "counters/steps": np.array(number)})


def main():
    group_size = int(sys.argv[1])
    world = start_mpi(1)
    rank, size = world.Get_rank(), world.Get_size()
    layout = split_evenly(size, group_size, "spread")

    assert agree(world, lambda: rank) == rank
    assert decide(world, lambda: rank) == 0
    try:
        agree(world, lambda: 1 // (0 if rank == size - 1 else 1))
        raise AssertionError("the failure was not seen")
    except ZeroDivisionError:
        assert rank == size - 1
    except Elsewhere:
        assert rank != size - 1

    with split(world, layout) as groups:
        assert groups.inner_size == layout.sizes[groups.group]
        assert groups.node_rank == rank and groups.node_size == size  # one machine here
        assert (groups.outer is None) == (groups.inner_rank != 0)
        if groups.outer is not None:
            assert groups.outer.Get_rank() == groups.group and groups.outer.Get_size() == layout.num_groups

        together = Collectives(groups.inner)
        assert together.broadcast({"from": groups.inner_rank}) == {"from": 0}
        assert together.gather(rank) == [rank - groups.inner_rank + i for i in range(groups.inner_size)]
        shared = together.share(state_of(groups.group) if groups.is_leader else None)
        assert shared.checksum == state_of(groups.group).checksum
        np.testing.assert_array_equal(shared.arrays()["weights/a"], groups.group)
        assert together.share(None) is None

        if groups.outer is not None:
            with StateStore(groups.outer) as store:
                mail(groups, Channel(groups.control))
                fetch(groups, store)
                meet(groups.outer)
        meet(world)
    print("ok")


def mail(groups, channel):
    """Everybody reports (outer rank 0 to itself, too), and is answered."""
    channel.report(("hello", groups.group, b"x" * 100_000))
    if groups.group == 0:
        heard = []
        while len(heard) < groups.layout.num_groups:
            heard += channel.poll_reports()
            time.sleep(0.001)
        for _, group, _ in sorted(heard):
            channel.order(group, ("order for", group))
    assert channel.next_order(30.0) == ("order for", groups.group)
    channel.flush(30.0)


def fetch(groups, store):
    """The first group's state goes to all at once, while its owner is busy elsewhere."""
    if groups.group == 0:
        store.put(7, state_of(7))
    meet(groups.outer)
    if groups.group == 0:
        busy = time.monotonic() + 0.3
        while time.monotonic() < busy:
            np.ones((200, 200)) @ np.ones((200, 200))
        return
    assert store.fetch(8, (0,)) is None  # not there
    got = store.fetch(7, (0,))
    assert got is not None and got.checksum == state_of(7).checksum
    store.put(7, got)
    store.drop((7,))
    assert store.get(7) is None


if __name__ == "__main__":
    try:
        main()
    except (Exception, SettingError):
        import traceback

        traceback.print_exc()
        MPI.COMM_WORLD.Abort(1)
