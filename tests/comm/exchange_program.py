"""Under mpirun: the split, agreement, mail, and states that travel while others work."""

import sys
import time

import numpy as np

from nestedga.comm.agreement import Elsewhere, agree, decide, meet
from nestedga.comm.exchange import Channel
from nestedga.comm.mpi import start_mpi
from nestedga.comm.states import StateExchange
from nestedga.comm.waiting import wait_until
from nestedga.comm.world import World
from nestedga.protocol.layout import split_evenly
from nestedga.protocol.messages import Order, OrderKind, Prefetch, Source, Tested
from nestedga.states.state import State
from tests.comm.program import Memory, run


def state_of(number):
    return State.from_arrays({"weights/a": np.full(300_000, number, np.float32), "counters/steps": np.array(number)})


def main():
    group_size = int(sys.argv[1])
    world = World(start_mpi(1))
    rank, size = world.rank_id, len(world.epoch.ids)
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

    one_machine = dict.fromkeys(range(size), 0)
    assert world.epoch.nodes == one_machine and world.node_rank == rank and world.node_size == size
    first = world.form(layout.groups)
    work_in(first, world)
    meet(world)
    # All ranks in one group, and again in groups that begin elsewhere: no communicator is left in the other's way.
    everybody = world.form([tuple(range(size))])
    first.free()
    work_in(everybody, world)
    backwards = [tuple(size - 1 - rank for rank in group) for group in layout.groups]
    last = world.form(backwards)
    everybody.free()
    work_in(last, world)
    last.free()

    if rank in layout.leaders:
        mail(world, layout, Channel(world, coordinator=0))
    meet(world)
    fetch(world)
    print("ok")


def work_in(group, world):
    assert world.rank_id in group.ranks and group.ranks[group.inner_rank] == world.rank_id
    assert group.is_leader == (group.number == world.rank_id)
    assert group.broadcast({"from": group.inner_rank}) == {"from": 0}
    assert group.gather(world.rank_id) == list(group.ranks)
    shared = group.share(3, state_of(group.number) if group.is_leader else None)
    assert shared.checksum == state_of(group.number).checksum
    np.testing.assert_array_equal(shared.arrays()["weights/a"], group.number)
    assert group.share(3, None) is None


def mail(world, layout, channel):
    """Every leader reports (world rank 0 to itself, too), and is answered."""
    channel.report(Tested(world.rank_id, {"x" * 100_000: 1.0}, {}))
    if world.rank_id == 0:
        heard = []
        while len(heard) < layout.num_groups:
            heard += channel.poll_reports()
            time.sleep(0.001)
        for report in heard:
            channel.send_prefetch(report.group, Prefetch(drop=(report.group,)))
            channel.order(report.group, Order(OrderKind.STOP, drop=(report.group,)))
    assert wait_until(channel.poll_order, 30.0, "an order") == Order(OrderKind.STOP, drop=(world.rank_id,))
    assert wait_until(channel.poll_prefetch, 30.0, "a prefetch") == Prefetch(drop=(world.rank_id,))
    channel.flush(30.0)


def fetch(world):
    """The first rank's state goes to all along a chain, ordered at once, while its owner is busy elsewhere."""
    prefetches = [Prefetch((Source(9, (0,)),))] if world.rank_id else []
    memory = Memory()
    exchange = StateExchange(world, memory, lambda: prefetches.pop() if prefetches else None)
    if world.rank_id == 0:
        exchange.keep(7, state_of(7), own=True)
        exchange.keep(9, state_of(9), own=True)
        busy = time.monotonic() + 0.3
        while time.monotonic() < busy:
            np.ones((200, 200)) @ np.ones((200, 200))
    else:
        got = exchange.obtain(Source(7, (world.rank_id - 1,)))  # which waits for it, too
        assert got is not None and got.checksum == state_of(7).checksum
        assert exchange.obtain(Source(7, ())) is got
        assert wait_until(lambda: memory.get(9), 30.0, "what comes ahead").checksum == state_of(9).checksum
    meet(world)
    exchange.drop((7,))
    if world.rank_id:
        assert exchange.obtain(Source(7, ())) is None  # and so it is missed here
    meet(world)
    if world.rank_id == 0:
        for other in range(1, world.epoch.comm.Get_size()):
            assert exchange.obtain(Source(7, (other,))) is None  # not there, and said at once
    meet(world)
    others = world.epoch.comm.Get_size() - 1
    assert exchange.num_sent == (others if world.rank_id == 0 else 0) + (world.rank_id < others)
    exchange.close()


if __name__ == "__main__":
    run(main)
