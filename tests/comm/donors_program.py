"""Under mpirun, 4 ranks: holders that damage, drop, lose or never send a state; nobody ever gets a wrong one."""

import ctypes
import sys
import threading
import time
from pathlib import Path

import numpy as np

from nestedga.comm.agreement import meet
from nestedga.comm.fetching import FIRST_ANSWER_TAG, REQUEST_TAG
from nestedga.comm.mpi import start_mpi
from nestedga.comm.packing import PIECE_BYTES, header_of
from nestedga.comm.states import StateExchange
from nestedga.comm.waiting import poll_message, wait_until
from nestedga.comm.world import World
from nestedga.protocol.messages import Prefetch, Source
from nestedga.protocol.wire import decode, encode
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
    exchange = StateExchange(world, memory, lambda: None, stall_seconds=NEVER)
    if world.rank_id < 2:
        exchange.keep(7, state_of(7), own=True)
    if world.rank_id == 0:
        memory[7].save(folder / "7.safetensors")
        ctypes.memset(memory[7].buffer.ctypes.data + 3 * PIECE_BYTES + 5, 99, 1)
    meet(world)
    if world.rank_id == 2:
        assert is_right(exchange.obtain(Source(7, (0, 1))), 7)
    if world.rank_id == 3:
        assert exchange.obtain(Source(7, (0,))) is None and 7 not in memory
        assert is_right(State.load(folder / "7.safetensors"), 7)
    meet(world)
    assert exchange.num_sent == (2, 1, 0, 0)[world.rank_id]
    exchange.close()


def dropped(world):
    """The holder drops the state while it is on its way, and uses its memory again if it can."""
    memory = Memory()
    exchange = StateExchange(world, memory, lambda: None, stall_seconds=NEVER)
    if world.rank_id == 0:
        exchange.keep(7, state_of(7), own=True)
    meet(world)
    if world.rank_id == 1:
        arriving = exchange._fetcher._arriving

        def slowly(*arguments):
            for number, piece in enumerate(arriving(*arguments)):
                if number == 0:
                    world.epoch.comm.send("has one piece", 0)
                    assert world.epoch.comm.recv(source=0) == "has dropped it"
                yield piece

        exchange._fetcher._arriving = slowly
        assert is_right(exchange.obtain(Source(7, (0,))), 7)
    if world.rank_id == 0:
        assert world.epoch.comm.recv(source=1) == "has one piece"
        exchange.drop((7,))
        others = [state_of(100 + number) for number in range(3)]
        world.epoch.comm.send("has dropped it", 1)
        assert all(is_right(other, 100 + number) for number, other in enumerate(others))
    meet(world)
    if world.rank_id > 1:
        assert exchange.obtain(Source(7, (0,))) is None  # said at once
        assert is_right(exchange.obtain(Source(7, (0, 1))), 7)
    meet(world)
    exchange.close()


def lost(world):
    """A copy was let go to make room: that is said at once, and it can be fetched again."""
    memory = Memory()
    exchange = StateExchange(world, memory, lambda: None, stall_seconds=NEVER)
    if world.rank_id == 0:
        exchange.keep(7, state_of(7), own=True)
    if world.rank_id == 1:
        assert is_right(exchange.obtain(Source(7, (0,))), 7)
        memory.clear()
    meet(world)
    if world.rank_id == 2:
        assert is_right(exchange.obtain(Source(7, (1, 0))), 7)
    meet(world)
    if world.rank_id == 1:
        assert is_right(exchange.obtain(Source(7, (2, 0))), 7)
    meet(world)
    assert exchange.num_sent == (2, 0, 1, 0)[world.rank_id]
    exchange.close()


def silent(world):
    """One holder never answers; another falls silent after a piece, and sends the rest, and a wrong one, too late."""
    if world.rank_id == 3:
        meet(world)
        states = world.epoch.states
        wait_until(lambda: poll_message(states, 1, REQUEST_TAG), 60.0, "a request")  # and no answer
        request = decode(wait_until(lambda: poll_message(states, 2, REQUEST_TAG), 60.0, "a request").payload)
        assert request.tag == FIRST_ANSWER_TAG
        state = state_of(request.member_id)
        states.Send(encode(header_of(request.member_id, state)), 2, request.tag)
        states.Send(state.buffer[:PIECE_BYTES], 2, request.tag)
        meet(world)
        wrong = np.full(PIECE_BYTES, 255, np.uint8)
        late = [states.Isend(wrong, 2, request.tag) for _ in range(3)]
        meet(world)
        del late
        return
    exchange = StateExchange(world, Memory(), lambda: None, stall_seconds=0.5)
    if world.rank_id == 0:
        exchange.keep(7, state_of(7), own=True)
    meet(world)
    state = exchange.obtain(Source(7, (3, 0)))
    assert is_right(state, 7)
    meet(world)
    new = [state_of(200 + number) for number in range(3)]  # in whatever memory is free now
    time.sleep(0.2)  # late pieces come in
    meet(world)
    assert is_right(state, 7) and all(is_right(other, 200 + number) for number, other in enumerate(new))
    exchange.close()


def closed(world):
    """A run may end while a state is fetched ahead from one who does not answer."""
    meet(world)
    if world.rank_id == 0:
        prefetches = [Prefetch((Source(7, (1,)),))]
        exchange = StateExchange(world, Memory(), lambda: prefetches.pop() if prefetches else None, stall_seconds=NEVER)
        while not any(thread.name == "prefetch" for thread in threading.enumerate()):
            time.sleep(0.001)
        exchange.close()
        assert not any(thread.name in ("prefetch", "states") for thread in threading.enumerate())
    meet(world)


def main():
    folder = Path(sys.argv[1])
    world = World(start_mpi(1))
    assert world.epoch.comm.Get_size() == 4
    for scene in (lambda world: damaged(world, folder), dropped, lost, silent, closed):
        scene(world)
        meet(world)  # so that no exchange of one scene answers a request of the next
    print("ok")


if __name__ == "__main__":
    run(main)
