"""Under mpirun: every group but one inherits the same state at once; it must spread like a tree."""

from nestedga.comm.agreement import meet
from nestedga.comm.mpi import start_mpi
from nestedga.comm.states import StateExchange
from nestedga.comm.world import World
from nestedga.coordination.holders import Holders
from nestedga.protocol.messages import Source
from tests.comm.donors_program import is_right, state_of
from tests.comm.program import Memory, run


def main():
    world = World(start_mpi(1))
    size = world.epoch.comm.Get_size()
    holders = Holders(world.epoch.nodes)  # every rank draws the tree that the coordinator would
    holders.add(7, 0)
    sources = {leader: Source(7, holders.assign(7, leader)) for leader in range(1, size)}
    exchange = StateExchange(world, Memory(), lambda: None)
    if world.rank_id == 0:
        exchange.keep(7, state_of(7), own=True)
    else:
        assert is_right(exchange.obtain(sources[world.rank_id]), 7)
    meet(world)
    sent = world.epoch.comm.allgather(exchange.num_sent)
    assert sum(sent) == size - 1 and max(sent) <= 2, sent
    exchange.close()
    print("ok")


if __name__ == "__main__":
    run(main)
