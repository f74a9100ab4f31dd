"""Under mpirun: every group but one inherits the same state at once; it must spread like a tree."""

from nestedga.comm.groups import World, meet, start_mpi
from nestedga.comm.states import StateExchange
from nestedga.coordination.holders import Holders
from tests.comm.donors_program import is_right, state_of
from tests.comm.program import Memory, run


def main():
    world = World(start_mpi(1))
    size = world.comm.Get_size()
    holders = Holders(world.nodes)  # every rank draws the tree that the coordinator would
    holders.add(7, 0)
    sources = {leader: holders.source(7, leader) for leader in range(1, size)}
    exchange = StateExchange(world.states, Memory(), lambda: None)
    if world.rank == 0:
        exchange.keep(7, state_of(7), own=True)
    else:
        assert is_right(exchange.obtain(sources[world.rank]), 7)
    meet(world.comm)
    sent = world.comm.allgather(exchange.num_sent)
    assert sum(sent) == size - 1 and max(sent) <= 2, sent
    exchange.close()
    world.close()
    print("ok")


if __name__ == "__main__":
    run(main)
