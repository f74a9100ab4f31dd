"""What it costs to inherit 100 MB from a group that trains: those who fetch, the donor, and a rank whose threads wait.

One run has it all, in turns: plain Send/Recv of the same size while nobody trains; then world rank 0 trains (with the
Trainer that every run uses) in windows without our threads, with them, and with them and one fetch a second by rank 1.
The fetch goes through the exchange that every run uses, checksum included.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from nestedga.protocol.messages import Source
from nestedga.states.state import State
from tests.benchmarks.page import Limit, Section, spread, table
from tests.conftest import mpirun, run_command

MEGABYTES, MEMBER = 100, 7
WINDOW_SECONDS, LEFT_OUT_SECONDS, SECONDS_BETWEEN_FETCHES = 4.0, 0.5, 1.0
# World rank 0 trains with none of our threads; with the coordinator's and that of the states; and is fetched from.
WITHOUT, WAITING, FETCHED = "without", "waiting", "fetched"
LOADS = {
    "ResNet-20": ("data=synthetic", "model=resnet20", "optimizer=sgd", "data.batch_size=64", "data.num_samples=4096"),
    "small network on digits": (),
}
GROUPS, MOST_SENT, WANTED_SHARE, MOST_SLOWED = 8, 2, 0.5, 0.02


class Window(NamedTuple):
    """A time in which world rank 0 trains in one way; seconds of the machine's monotonic clock."""

    kind: str
    begin: float
    end: float


def measure(short: bool) -> Section:
    """Both loads, then eight groups that inherit one state."""
    rounds = 2 if short else 6
    trained = {name: _run(2, "--role", "train", "--load", name, "--rounds", str(rounds)) for name in LOADS}
    elite = _run(GROUPS, "--role", "elite", "--rounds", str(rounds))
    limits, rows = [], []
    for name, result in trained.items():
        shares = [
            statistics.median(plain) / statistics.median(fetch)
            for plain, fetch in zip(result["plain"], result["fetch"], strict=True)
        ]
        limits.append(
            Limit(
                f"{MEGABYTES} MB from a group that trains ({name}), share of the plain bandwidth",
                spread(shares),
                f"{WANTED_SHARE} or more",
                statistics.median(shares) >= WANTED_SHARE,
            )
        )
        for kind, against, what in (
            (FETCHED, WAITING, "donor's training slowed by one fetch a second"),
            (WAITING, WITHOUT, "training on world rank 0 slowed by threads that wait"),
        ):
            slowed = [1.0 - a / b for a, b in zip(result["rates"][kind], result["rates"][against], strict=True)]
            middle = statistics.median(slowed)
            wanted = f"less than {MOST_SLOWED:.0%}"
            limits.append(Limit(f"{what} ({name})", _percent(slowed), wanted, middle < MOST_SLOWED))
        rows.append(
            (
                name,
                spread([1e3 * seconds for seconds in itertools.chain(*result["plain"])], 1),
                spread([1e3 * seconds for seconds in itertools.chain(*result["fetch"])], 1),
                *(spread(result["rates"][kind], 1) for kind in (WITHOUT, WAITING, FETCHED)),
                f"{result['during_fetch']:.2f}",
            )
        )
    most = max(max(sent) for sent in elite["sent"])
    what = f"sends of one leader when {GROUPS - 1} groups inherit its state"
    limits.append(Limit(what, str(most), f"{MOST_SENT} or less", most <= MOST_SENT))
    text = f"""{rounds} rounds; windows of {WINDOW_SECONDS:g} s; a share or a slow-down is that of a round's medians.

{
        table(
            (
                "load of world rank 0",
                "plain Send/Recv, ms",
                "fetch, ms",
                *(f"steps/s {kind}" for kind in ("without our threads", "with them", "and fetched from")),
                "step during a fetch / other step",
            ),
            rows,
        )
    }

{GROUPS} groups of one rank, none training: all have the state of one after {spread(elite["seconds"])} s; the leader
that produced it sent it {elite["sent"][0][0]} times."""
    return Section("Inheritance", "python -m tests.benchmarks inheritance", tuple(limits), text)


def _percent(shares: list[float]) -> str:
    low, middle, high = (f"{100 * share:.1f}" for share in (min(shares), statistics.median(shares), max(shares)))
    return f"{middle} % ({low} to {high})"


def _run(ranks: int, *arguments: str) -> dict[str, Any]:
    command = [*mpirun(ranks), "-m", "tests.benchmarks.inheritance", *arguments]
    with tempfile.TemporaryDirectory() as folder:
        answer = run_command(command, Path(folder), limit=600.0)
    if answer.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{answer.stdout[-2000:]}\n{answer.stderr[-4000:]}")
    result: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return result


# On the ranks


class Memory(dict[int, State]):
    """A cache without limits."""

    def put(self, member_id: int, state: State, *, own: bool) -> None:
        self[member_id] = state

    def drop(self, member_ids: Any) -> None:
        for member_id in member_ids:
            self.pop(member_id, None)


class Over(Exception):
    """The time to train is over."""


class Conductor:
    """Is told of every step, in the place of a watchdog; starts and ends our threads at the borders of windows."""

    def __init__(self, world: Any, memory: Memory, windows: list[Window]) -> None:
        self._world, self._memory = world, memory
        self._to_come = iter(windows)
        self._window = Window(WITHOUT, 0.0, 0.0)
        self._threads = ExitStack()
        self.steps: list[float] = []

    def beat(self) -> None:
        now = time.monotonic()
        self.steps.append(now)
        if now < self._window.end:
            return
        self._threads.close()
        try:
            self._window = next(self._to_come)
        except StopIteration:
            raise Over from None
        if self._window.kind != WITHOUT:
            self._threads.enter_context(_threads(self._world, self._memory))


@contextmanager
def _threads(world: Any, memory: Memory) -> Iterator[None]:
    """Those that share world rank 0 with its training."""
    from nestedga.comm.exchange import Channel
    from nestedga.comm.states import StateExchange
    from nestedga.coordination.serve import serve

    channel = Channel(world, coordinator=0)
    exchange = StateExchange(world, memory, channel.poll_prefetch)
    coordinator: Any = SimpleNamespace(finished=False, thinking=False)
    thread = threading.Thread(target=serve, args=(coordinator, channel, lambda: None))
    thread.start()
    yield
    coordinator.finished = True
    thread.join()
    exchange.close()


def _state() -> State:
    rng = np.random.default_rng(0)
    return State.from_arrays({"weights/a": rng.integers(0, 255, MEGABYTES * 1_000_000, np.uint8)})


def _train_and_fetch(load: str, rounds: int) -> None:
    from nestedga.comm.mpi import start_mpi
    from nestedga.comm.states import StateExchange
    from nestedga.comm.world import World

    world = World(start_mpi(1))
    memory = Memory()
    results: dict[str, Any] = {"plain": [], "fetch": [], "rates": {kind: [] for kind in (WITHOUT, WAITING, FETCHED)}}
    slower: list[float] = []
    if world.rank_id == 0:
        memory[MEMBER] = _state()
        train = _trainer(world, load)
    else:
        exchange = StateExchange(world, memory, lambda: None)
    for number in range(rounds):
        plain = _plain(world.epoch.comm)
        kinds = (WITHOUT, WAITING, FETCHED) if number % 2 == 0 else (FETCHED, WAITING, WITHOUT)
        begin = world.epoch.comm.bcast(time.monotonic())
        borders = [begin + index * WINDOW_SECONDS for index in range(len(kinds) + 1)]
        windows = [Window(*window) for window in zip(kinds, borders, borders[1:], strict=False)]
        if world.rank_id == 0:
            conductor = Conductor(world, memory, windows)
            train(conductor)
            world.epoch.comm.send(conductor.steps, 1)
            continue
        fetches = _fetch_in(next(window for window in windows if window.kind == FETCHED), exchange)
        steps = np.array(world.epoch.comm.recv(source=0))
        results["plain"].append(plain)
        results["fetch"].append([end - begin for begin, end in fetches])
        for window in windows:
            inside = steps[(steps > window.begin + LEFT_OUT_SECONDS) & (steps < window.end)]
            results["rates"][window.kind].append((len(inside) - 1) / (inside[-1] - inside[0]))
        slower.append(_during(fetches, steps, results["rates"][WAITING][-1]))
    if world.rank_id == 1:
        exchange.close()
        print(json.dumps({**results, "during_fetch": statistics.median(slower)}), flush=True)


def _trainer(world: Any, load: str) -> Any:
    from nestedga.job.build import build
    from nestedga.job.configuration import Configuration
    from nestedga.population.member import Member
    from nestedga.rank.ledger import Ledger
    from nestedga.rank.place import Place
    from nestedga.training.loop import Trainer
    from nestedga.training.member_settings import MemberSettings

    group = world.form([(0,)])
    configuration = Configuration([*LOADS[load], "interval.epochs=null", "interval.steps=1"])
    settings = MemberSettings.from_config(configuration.plain())
    watchdog: Any = SimpleNamespace(beat=lambda: None)
    place = Place(group.training, 0, 0, 1, world.node_rank, Ledger("initialise"), watchdog)
    trainer = Trainer(place, build, seed=0, unit="steps", settings=settings)

    def train(conductor: Conductor) -> None:
        watchdog.beat = conductor.beat
        try:
            trainer.train(Member(0, 0, 0, {}, (), (), budget=1_000_000), settings, None)
        except Over:
            return

    return train


def _plain(comm: Any) -> list[float]:
    """Seconds of Send and Recv of the same size, memory touched before; the first, which warms up, left out."""
    buffer, seconds = np.ones(MEGABYTES * 1_000_000, np.uint8), []
    for _ in range(6):
        comm.Barrier()
        began = time.monotonic()
        if comm.Get_rank() == 0:
            comm.Send(buffer, 1)
        else:
            comm.Recv(buffer, 0)
        seconds.append(time.monotonic() - began)
    return seconds[1:]


def _fetch_in(window: Window, exchange: Any) -> list[tuple[float, float]]:
    """Begin and end of each fetch."""
    fetches = []
    for at in np.arange(window.begin + LEFT_OUT_SECONDS, window.end - LEFT_OUT_SECONDS, SECONDS_BETWEEN_FETCHES):
        time.sleep(max(float(at) - time.monotonic(), 0.0))
        began = time.monotonic()
        assert exchange.obtain(Source(MEMBER, (0,))) is not None
        fetches.append((began, time.monotonic()))
        exchange.drop((MEMBER,))
    return fetches


def _during(fetches: list[tuple[float, float]], steps: Any, rate: float) -> float:
    """Mean time of the steps that a fetch fell into, against that of other steps."""
    times: list[float] = []
    for begin, end in fetches:
        first, last = np.searchsorted(steps, (begin, end))  # the steps that ended after it began, and after it ended
        times += list(np.diff(steps[first - 1 : last + 1]))
    return float(np.mean(times) * rate)


def _elite(rounds: int) -> None:
    """All leaders but the first inherit its state at once, as the coordinator would tell them to."""
    from nestedga.comm.agreement import meet
    from nestedga.comm.mpi import start_mpi
    from nestedga.comm.states import StateExchange
    from nestedga.comm.world import World
    from nestedga.coordination.holders import Holders

    world = World(start_mpi(1))
    memory = Memory()
    exchange = StateExchange(world, memory, lambda: None)
    if world.rank_id == 0:
        exchange.keep(MEMBER, _state(), own=True)
    seconds, sent = [], []
    for _ in range(rounds + 1):
        holders = Holders(world.epoch.nodes)
        holders.add(MEMBER, 0)
        leaders = range(1, world.epoch.comm.Get_size())
        sources = {leader: Source(MEMBER, holders.assign(MEMBER, leader)) for leader in leaders}
        before = exchange.num_sent
        meet(world)
        began = time.monotonic()
        if world.rank_id:
            assert exchange.obtain(sources[world.rank_id]) is not None
        meet(world)
        seconds.append(time.monotonic() - began)
        sent.append(world.epoch.comm.gather(exchange.num_sent - before))
        meet(world)
        if world.rank_id:
            exchange.drop((MEMBER,))
            exchange._remembered.clear()  # as for a state of another member
        meet(world)
    exchange.close()
    if world.rank_id == 0:
        print(json.dumps({"seconds": seconds[1:], "sent": sent[1:]}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.inheritance")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--role", choices=("train", "elite"), help=argparse.SUPPRESS)
    parser.add_argument("--load", choices=LOADS, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role is None:
        print(measure(options.short).markdown())
    elif options.role == "train":
        _train_and_fetch(options.load, options.rounds)
    else:
        _elite(options.rounds)


if __name__ == "__main__":
    main()
