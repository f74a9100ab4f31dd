"""Under mpirun: the split, agreement, mail, and states that travel while others work."""

import sys
import time

import numpy as np

from nestedga.comm.collectives import Collectives
from nestedga.comm.exchange import Channel
from nestedga.comm.groups import Elsewhere, World, agree, decide, meet, start_mpi
from nestedga.comm.states import StateExchange
from nestedga.comm.waiting import wait_until
from nestedga.protocol.layout import split_evenly
from nestedga.protocol.messages import Prefetch, Source
from nestedga.states.state import State
from tests.comm.program import Memory, run


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

    ranks = World(world)
    assert ranks.nodes == [0] * size and ranks.node_rank == rank and ranks.node_size == size  # one machine here
    first = ranks.form(layout.groups)
    work_in(first, ranks)
    meet(world)
    # All ranks in one group, and again in groups that begin elsewhere: no communicator is left in the other's way.
    everybody = ranks.form([tuple(range(size))])
    first.free()
    work_in(everybody, ranks)
    backwards = [tuple(size - 1 - rank for rank in group) for group in layout.groups]
    last = ranks.form(backwards)
    everybody.free()
    work_in(last, ranks)
    last.free()

    if rank in layout.leaders:
        channel = Channel(ranks.control, coordinator=0)
        mail(ranks, layout, channel)
    meet(world)
    fetch(ranks)
    ranks.close()
    print("ok")


def work_in(group, world):
    assert world.rank in group.ranks and group.ranks[group.inner_rank] == world.rank
    assert group.is_leader == (group.number == world.rank)
    together = Collectives(group)
    assert together.broadcast({"from": group.inner_rank}) == {"from": 0}
    assert together.gather(world.rank) == list(group.ranks)
    shared = together.share(state_of(group.number) if group.is_leader else None)
    assert shared.checksum == state_of(group.number).checksum
    np.testing.assert_array_equal(shared.arrays()["weights/a"], group.number)
    assert together.share(None) is None


def mail(world, layout, channel):
    """Every leader reports (world rank 0 to itself, too), and is answered."""
    channel.report(("hello", world.rank, b"x" * 100_000))
    if world.rank == 0:
        heard = []
        while len(heard) < layout.num_groups:
            heard += channel.poll_reports()
            time.sleep(0.001)
        for _, group, _ in sorted(heard):
            channel.send_prefetch(group, ("ahead for", group))
            channel.order(group, ("order for", group))
    assert wait_until(channel.poll_order, 30.0, "an order") == ("order for", world.rank)
    assert wait_until(channel.poll_prefetch, 30.0, "what is ahead") == ("ahead for", world.rank)
    channel.flush(30.0)


def fetch(world):
    """The first rank's state goes to all along a chain, ordered at once, while its owner is busy elsewhere."""
    aheads = [Prefetch((Source(9, (0,)),))] if world.rank else []
    memory = Memory()
    exchange = StateExchange(world.states, memory, lambda: aheads.pop() if aheads else None)
    if world.rank == 0:
        exchange.keep(7, state_of(7), own=True)
        exchange.keep(9, state_of(9), own=True)
        busy = time.monotonic() + 0.3
        while time.monotonic() < busy:
            np.ones((200, 200)) @ np.ones((200, 200))
    else:
        got = exchange.obtain(Source(7, (world.rank - 1,)))  # which waits for it, too
        assert got is not None and got.checksum == state_of(7).checksum
        assert exchange.obtain(Source(7, ())) is got
        assert wait_until(lambda: memory.get(9), 30.0, "what comes ahead").checksum == state_of(9).checksum
    meet(world.comm)
    exchange.drop((7,))
    if world.rank:
        assert exchange.obtain(Source(7, ())) is None  # and so it is missed here
    meet(world.comm)
    if world.rank == 0:
        for other in range(1, world.comm.Get_size()):
            assert exchange.obtain(Source(7, (other,))) is None  # not there, and said at once
    meet(world.comm)
    others = world.comm.Get_size() - 1
    assert exchange.num_sent == (others if world.rank == 0 else 0) + (world.rank < others)
    exchange.close()


if __name__ == "__main__":
    run(main)
