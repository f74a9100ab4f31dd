"""Under mpirun: the world enters new epochs, with its ranks in another order, while threads send, serve and fetch."""

import sys
import threading
import time
from collections import deque

import numpy as np

from nestedga.comm.agreement import agree, decide, meet
from nestedga.comm.exchange import HEAD, REPORT, Channel
from nestedga.comm.fetching import REQUEST_TAG
from nestedga.comm.lifeline import Lifeline
from nestedga.comm.mpi import start_mpi
from nestedga.comm.packing import PIECE_BYTES, header_of
from nestedga.comm.states import StateExchange
from nestedga.comm.waiting import WaitEnded, wait_until
from nestedga.comm.world import World
from nestedga.protocol.messages import Order, OrderKind, Prefetch, Source, StateRequest, Tested
from nestedga.protocol.wire import encode
from nestedga.states.state import State, checksum_of
from tests.comm.program import Memory, run

FLOATS = PIECE_BYTES  # four pieces of the float's four bytes
REPORTS = 2000


def state_of(number):
    return State.from_arrays({"weights/a": np.full(FLOATS, number, np.float32)})


def is_right(state, number):
    intact = state.checksum == checksum_of(state.entries, [state.buffer])
    return intact and (state.arrays()["weights/a"] == number).all()


def turn(world, spare):
    """Enters an epoch in which no rank stands where it stood."""
    before = world.epoch
    world.enter(spare.Split(0, (before.comm.Get_rank() + 1) % len(before.ids)))
    after = world.epoch
    assert after.number == before.number + 1 and before.ended.is_set() and not after.ended.is_set()
    assert after.world_ranks[world.rank_id] == after.comm.Get_rank() != before.comm.Get_rank()
    assert sorted(after.ids) == sorted(before.ids) and after.nodes == before.nodes
    return before, after


def messages(world, spare):
    """Those that nobody has looked for are lost with the epoch, those taken and not confirmed come twice."""
    rank, size = world.rank_id, len(world.epoch.ids)
    leader, coordinator = Channel(world, 0), Channel(world, 0)
    heard, wanted = [], [(group, number) for group in range(size) for number in range(10)]
    for number in range(10):
        leader.report(Tested(rank, {"number": number}, {}))
    if rank == 0:
        while len(heard) < 5:
            heard += coordinator.poll_reports()
        for group in range(size):
            coordinator.order(group, Order(OrderKind.STOP, drop=(group,)))
            coordinator.send_prefetch(group, Prefetch(drop=(group,)))
    meet(world)
    before, after = turn(world, spare)
    if rank == 1:  # strays: in the communicator of the old epoch, and with its number in that of the new one
        stray = HEAD.pack(before.number, 11, 0) + encode(Tested(rank, {"number": 99.0}, {}))
        strays = [before.control.Isend(stray, before.world_ranks[0], REPORT)]
        strays += [after.control.Isend(stray, after.world_ranks[0], REPORT)]
        assert len(strays) == 2
    meet(world)
    until = time.monotonic() + 0.3  # what comes twice, and the strays, come meanwhile
    while rank == 0 and (len(heard) < len(wanted) or time.monotonic() < until):
        heard += coordinator.poll_reports()
        leader.flush(60.0)  # notices the new epoch, too
    assert wait_until(leader.poll_prefetch, 60.0, "a prefetch") == Prefetch(drop=(rank,))
    assert wait_until(leader.poll_order, 60.0, "an order") == Order(OrderKind.STOP, drop=(rank,))
    meet(world)
    assert leader.poll_order() is leader.poll_prefetch() is None
    if rank == 0:
        assert sorted((report.group, int(report.metrics["number"])) for report in heard) == wanted
        numbers = [report.metrics["number"] for report in heard if report.group == 1]
        assert numbers == sorted(numbers)


def states(world, spare):
    """A fetch that has one piece when the epoch ends begins anew; so does one whose request waits with its holder."""
    rank, size = world.rank_id, len(world.epoch.ids)
    partner = (rank + 1) % size
    exchange = StateExchange(world, Memory(), lambda: None, stall_seconds=10_000.0)
    exchange.keep(rank, state_of(rank), own=True)
    first, has_piece, arriving, begin_sending = (
        world.epoch,
        threading.Event(),
        exchange._fetcher._arriving,
        exchange._begin_sending,
    )

    def watched(*arguments):
        for piece in arriving(*arguments):
            has_piece.set()
            yield piece

    def one_piece(epoch, state, waiting):
        if epoch is first:
            parts = (encode(header_of(waiting.request.member_id, state)), state.buffer[:PIECE_BYTES])
            sends = [epoch.states.Isend(part, waiting.asker, waiting.request.tag) for part in parts]
            exchange._sending.append(deque(sends))
        else:
            begin_sending(epoch, state, waiting)

    exchange._fetcher._arriving, exchange._begin_sending = watched, one_piece
    meet(world)
    got = {}

    def obtain(member_id):
        got[member_id] = exchange.obtain(Source(member_id, (partner,)))

    threads = [threading.Thread(target=obtain, args=(member_id,)) for member_id in (partner, 100 + partner)]
    for thread in threads:
        thread.start()
    has_piece.wait()
    wait_until(lambda: exchange._waiting or None, 60.0, "a request for what is not made yet")
    meet(world)
    before, after = turn(world, spare)
    threads[0].join()
    stray = encode(StateRequest(before.number, partner, 77))  # would be answered, were it read
    strays = [epoch.states.Isend(stray, epoch.world_ranks[partner], REQUEST_TAG) for epoch in (before, after)]
    exchange.keep(100 + rank, state_of(100 + rank), own=True)
    threads[1].join()
    assert all(is_right(got[member_id], member_id) for member_id in (partner, 100 + partner))
    meet(world)
    assert exchange.num_sent == 2 and len(strays) == 2
    exchange.close()


def waits(world, spare):
    """Whoever waits in an epoch that ends is told so; whoever waits in a group, when that ends."""
    failed = []

    def wait(action):
        try:
            action()
        except WaitEnded:
            failed.append(action)

    if world.rank_id == 0:
        thread = threading.Thread(target=wait, args=(lambda: agree(world, lambda: None),))
        thread.start()
        time.sleep(0.1)
    turn(world, spare)
    group = world.form([tuple(reversed(world.epoch.ids))])
    assert group.gather(world.rank_id) == list(group.ranks)
    if not group.is_leader:
        group.ended.set()
        wait(lambda: group.broadcast(None))
    if world.rank_id == 0:
        thread.join()
    assert len(failed) == (world.rank_id == 0) + (not group.is_leader)
    assert decide(world, lambda: world.rank_id) == world.epoch.ids[0]


def load(world, spare):
    """All at once, and the world turns twice."""
    rank, size = world.rank_id, len(world.epoch.ids)
    leader, coordinator, taken = Channel(world, 0), Channel(world, 0), []
    exchange = StateExchange(world, Memory(), leader.poll_prefetch, stall_seconds=10_000.0)
    exchange.keep(rank, state_of(rank), own=True)
    done, num_fetched = threading.Event(), []

    def report():
        for number in range(REPORTS):
            leader.report(Tested(rank, {"number": number}, {}))
            if number % 7 == 0:  # as a leader does, which waits for its order
                assert wait_until(leader.poll_order, 60.0, "an order").drop == (number,)

    def serve():
        while len(taken) < REPORTS * size:
            for message in coordinator.poll_reports():
                taken.append((message.group, int(message.metrics["number"])))
                if taken[-1][1] % 7 == 0:
                    coordinator.order(message.group, Order(OrderKind.STOP, drop=(taken[-1][1],)))
            time.sleep(1e-4)

    def fetch():
        while not done.is_set():
            for holder in range(size):
                if holder != rank:
                    assert is_right(exchange.obtain(Source(holder, (holder,))), holder)
                    num_fetched.append(world.epoch.number)
                    exchange.drop((holder,))

    targets = [report, fetch, *([serve] if rank == 0 else [])]
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    for _ in range(2):
        time.sleep(0.3)
        turn(world, spare)
        begun = len(num_fetched)
        wait_until(lambda begun=begun: len(num_fetched) > begun or None, 60.0, "a state in the new epoch")
    done.set()
    for thread in threads:
        thread.join()
    meet(world)
    if rank == 0:
        for group in range(size):
            assert [number for sender, number in taken if sender == group] == list(range(REPORTS))
    assert leader.poll_order() is None and coordinator.poll_reports() == []
    meet(world)
    exchange.close()


def main():
    world = World(start_mpi(1))
    lifeline = Lifeline(world)
    threading.excepthook = lambda caught: (sys.__excepthook__(*caught[:3]), lifeline.end_job(1))
    spare = world.epoch.comm.Dup()
    if sys.argv[1:] == ["end"]:
        turn(world, spare)
        if world.rank_id == 1:
            lifeline.end_job(3)
        time.sleep(10_000)
    for scene in (messages, states, waits, load):
        scene(world, spare)
        meet(world)
    world.renew()
    meet(world)
    print("ok", flush=True)
    lifeline.end_well(0)


if __name__ == "__main__":
    run(main)
