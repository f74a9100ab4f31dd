"""Under mpirun, 4 ranks: holders that damage, drop, lose or never send a state; nobody ever gets a wrong one."""

import ctypes
import pickle
import sys
import threading
import time
from pathlib import Path

import numpy as np

from nestedga.comm.groups import World, meet, start_mpi
from nestedga.comm.states import FIRST_ANSWER_TAG, PIECE_BYTES, REQUEST_TAG, StateExchange
from nestedga.protocol.messages import Prefetch, Source
from nestedga.states.state import State, checksum_of
from tests.comm.program import Memory, run

FLOATS = PIECE_BYTES  # four pieces of the float's four bytes
NEVER = 10_000.0  # a wait for this long is a test that hangs


def state_of(number):
    return State.from_arrays({"weights/a": np.full(FLOATS, number, np.float32), "counters/steps": np.array(number)})


def is_right(state, number):
    intact = state.checksum == checksum_of(state.entries, [state.buffer])
    return intact and (state.arrays()["weights/a"] == number).all()


def damaged(world, folder):
    """The first holder's memory has changed since the checksum was taken."""
    memory = Memory()
    exchange = StateExchange(world.states, memory, lambda: None, stall_seconds=NEVER)
    if world.rank < 2:
        exchange.keep(7, state_of(7), own=True)
    if world.rank == 0:
        memory[7].save(folder / "7.safetensors")
        ctypes.memset(memory[7].buffer.ctypes.data + 3 * PIECE_BYTES + 5, 99, 1)
    meet(world.comm)
    if world.rank == 2:
        assert is_right(exchange.obtain(Source(7, (0, 1))), 7)
    if world.rank == 3:
        assert exchange.obtain(Source(7, (0,))) is None and 7 not in memory
        assert is_right(State.load(folder / "7.safetensors"), 7)
    meet(world.comm)
    assert exchange.num_sent == (2, 1, 0, 0)[world.rank]
    exchange.close()


def dropped(world):
    """The holder drops the state while it is on its way, and uses its memory again if it can."""
    memory = Memory()
    exchange = StateExchange(world.states, memory, lambda: None, stall_seconds=NEVER)
    if world.rank == 0:
        exchange.keep(7, state_of(7), own=True)
    meet(world.comm)
    if world.rank == 1:
        arriving = exchange._arriving

        def slowly(*arguments):
            for number, piece in enumerate(arriving(*arguments)):
                if number == 0:
                    world.comm.send("has one piece", 0)
                    assert world.comm.recv(source=0) == "has dropped it"
                yield piece

        exchange._arriving = slowly
        assert is_right(exchange.obtain(Source(7, (0,))), 7)
    if world.rank == 0:
        assert world.comm.recv(source=1) == "has one piece"
        exchange.drop((7,))
        others = [state_of(100 + number) for number in range(3)]
        world.comm.send("has dropped it", 1)
        assert all(is_right(other, 100 + number) for number, other in enumerate(others))
    meet(world.comm)
    if world.rank > 1:
        assert exchange.obtain(Source(7, (0,))) is None  # said at once
        assert is_right(exchange.obtain(Source(7, (0, 1))), 7)
    meet(world.comm)
    exchange.close()


def lost(world):
    """A copy was let go to make room: that is said at once, and it can be fetched again."""
    memory = Memory()
    exchange = StateExchange(world.states, memory, lambda: None, stall_seconds=NEVER)
    if world.rank == 0:
        exchange.keep(7, state_of(7), own=True)
    if world.rank == 1:
        assert is_right(exchange.obtain(Source(7, (0,))), 7)
        memory.clear()
    meet(world.comm)
    if world.rank == 2:
        assert is_right(exchange.obtain(Source(7, (1, 0))), 7)
    meet(world.comm)
    if world.rank == 1:
        assert is_right(exchange.obtain(Source(7, (2, 0))), 7)
    meet(world.comm)
    assert exchange.num_sent == (2, 0, 1, 0)[world.rank]
    exchange.close()


def silent(world):
    """One holder never answers; another falls silent after a piece, and sends the rest, and a wrong one, too late."""
    if world.rank == 3:
        meet(world.comm)
        member_id, tag = world.states.recv(source=1, tag=REQUEST_TAG)  # and no answer
        member_id, tag = world.states.recv(source=2, tag=REQUEST_TAG)
        assert tag == FIRST_ANSWER_TAG
        state = state_of(member_id)
        header = pickle.dumps((member_id, state.entries, state.checksum, state.buffer.size))
        world.states.Send(np.frombuffer(header, np.uint8), 2, tag)
        world.states.Send(state.buffer[:PIECE_BYTES], 2, tag)
        meet(world.comm)
        wrong = np.full(PIECE_BYTES, 255, np.uint8)
        late = [world.states.Isend(wrong, 2, tag) for _ in range(3)]
        meet(world.comm)
        del late
        return
    exchange = StateExchange(world.states, Memory(), lambda: None, stall_seconds=0.5)
    if world.rank == 0:
        exchange.keep(7, state_of(7), own=True)
    meet(world.comm)
    state = exchange.obtain(Source(7, (3, 0)))
    assert is_right(state, 7)
    meet(world.comm)
    new = [state_of(200 + number) for number in range(3)]  # in whatever memory is free now
    time.sleep(0.2)  # late pieces come in
    meet(world.comm)
    assert is_right(state, 7) and all(is_right(other, 200 + number) for number, other in enumerate(new))
    exchange.close()


def closed(world):
    """A run may end while a state is fetched ahead from one who does not answer."""
    meet(world.comm)
    if world.rank == 0:
        aheads = [Prefetch((Source(7, (1,)),))]
        exchange = StateExchange(world.states, Memory(), lambda: aheads.pop() if aheads else None, stall_seconds=NEVER)
        while not any(thread.name == "ahead" for thread in threading.enumerate()):
            time.sleep(0.001)
        exchange.close()
        assert not any(thread.name in ("ahead", "states") for thread in threading.enumerate())
    meet(world.comm)


def main():
    folder = Path(sys.argv[1])
    world = World(start_mpi(1))
    assert world.comm.Get_size() == 4
    for scene in (lambda world: damaged(world, folder), dropped, lost, silent, closed):
        scene(world)
        meet(world.comm)  # so that no exchange of one scene answers a request of the next
    world.close()
    print("ok")


if __name__ == "__main__":
    run(main)
