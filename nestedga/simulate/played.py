"""Plays the groups of a run, their states and their mail.

What a member's evaluation takes, whether it fails and what it gives are functions of (seed, member id), so that two
simulations that differ in costs play the same members.
"""

from __future__ import annotations

import heapq
import itertools
import math
import os
import time
from array import array
from collections.abc import Iterable
from pathlib import Path
from random import Random

from nestedga.population.member import Evaluation, Member, Status
from nestedga.population.space import Space
from nestedga.protocol.layout import Layout
from nestedga.protocol.messages import (
    Durable,
    Evaluated,
    Order,
    OrderKind,
    Prefetch,
    Ready,
    Report,
    Source,
    Stopped,
    Tested,
)
from nestedga.protocol.wire import decode, encode
from nestedga.simulate.clock import Clock, PlayedThinker
from nestedga.simulate.settings import DISTRIBUTIONS, SimulateConfig

SECONDS_PER_HOUR = 3600.0
NUM_SAMPLES = 200  # of each curve over the budget
TARGET = 0.7  # where the played function has its minimum, in unit space


class NoFiles:
    """Durable copies that nobody reads: a simulation loses no state."""

    def all(self) -> Iterable[int]:
        return ()

    def intact(self, member_id: int) -> bool:
        return True

    def remove(self, member_id: int) -> None:
        """There is no file."""


class PlayedGroups:
    """Plays all groups, and the mail between them and the coordinator.

    Args:
        settings: the section.
        layout: the groups.
        space: in which FoMs are a smooth function.
        seed: of all draws.
        clock: the virtual one, which this moves.
        elsewhere: where a slow search thinks.
    """

    def __init__(
        self,
        settings: SimulateConfig,
        layout: Layout,
        space: Space,
        seed: int,
        clock: Clock,
        elsewhere: PlayedThinker | None,
    ) -> None:
        self._settings = settings
        self._draw = DISTRIBUTIONS[settings.evaluation](settings)
        self._space = space
        self._seed = seed
        self._clock = clock
        self._elsewhere = elsewhere
        self._number = itertools.count()  # of reports; of two at the same time the earlier goes first
        # On the way: time of arrival, number, group, and the report as sent; or a member whose state is on disk then:
        # said by a group that waits, for else its next evaluation says so.
        self._reports: list[tuple[float, int, int, bytearray | int]] = []
        self._outbox: list[tuple[int, bytearray, float]] = []  # with the seconds of the decision until it left
        self._free_since = dict.fromkeys(layout.leaders, 0.0)  # groups' last intervals ended
        self._waiting: dict[int, float] = {}  # when the reports of groups without an order came in
        self._unserved: dict[int, float] = {}  # of these, who was taken in and got nothing, since when
        self._held: dict[tuple[int, int], float] = {}  # since when a leader has a member's state; may lie ahead
        self._sends_until: dict[int, float] = {}  # when a leader has sent what it was asked for
        self._unwritten: dict[int, int] = {}  # the member of each group whose state goes to disk
        self._batch: list[int] = []  # groups whose reports the coordinator is looking at
        self._num_reports = 0
        self._began: float | None = None  # real time
        self._real_thinking = 0.0
        self._offered_at = -math.inf  # when the last answer was there that the coordinator was told of
        # Figures
        self.wait_seconds = self.search_seconds = self.fetch_seconds = self.lost_seconds = 0.0
        self.stops_at = math.inf
        self.num_fetched = self.num_from_disk = self.num_failed = 0
        self.trained = (array("d"), array("d"))  # beginning and end of each interval
        self.queueing = array("d")  # seconds from a report's arrival to the order
        self.decisions = (array("d"), array("d"), array("d"))  # when, seconds, number of reports
        self.memory: list[tuple[float, int]] = []  # when, resident bytes
        for group in layout.leaders:
            self._post(settings.latency_seconds, Ready(group))

    # The coordinator's side: nestedga.coordination.serve.Mail

    def poll_reports(self) -> list[Report]:
        """Ends the decision before, then waits until there is something to decide.

        Raises:
            RuntimeError: nothing is under way, though the coordinator has not finished: a fault of its own.
        """
        self._end_decision()
        letters: list[bytearray] = []
        answers_at = self._elsewhere.answers_at if self._elsewhere else math.inf
        if answers_at == self._offered_at:
            answers_at = math.inf  # it was there before, and nobody wanted it yet
        while not letters:
            arrives_at = self._reports[0][0] if self._reports else math.inf
            due = min(arrives_at, answers_at)
            if due == math.inf:
                raise RuntimeError("nobody is under way, and the coordinator waits for somebody")
            self._clock.now = max(self._clock.now, due)
            while self._reports and self._reports[0][0] <= self._clock.now:
                arrived, _, group, report = heapq.heappop(self._reports)
                if isinstance(report, bytearray):
                    self._waiting[group] = arrived
                    self._batch.append(group)
                    letters.append(report)
                elif group in self._waiting and self._unwritten.get(group) == report:
                    del self._unwritten[group]
                    letters.append(encode(Durable(group, (report,))))
            if self._clock.now >= answers_at:
                self._offered_at = answers_at
                break
        self._num_reports = len(letters)
        self._real_thinking = self._elsewhere.real_seconds if self._elsewhere else 0.0
        self._began = time.perf_counter()
        return [decode(letter) for letter in letters]

    def order(self, group: int, message: Order) -> None:
        self._outbox.append((group, encode(message), self._decided_seconds))

    def send_prefetch(self, group: int, message: Prefetch) -> None:
        self._outbox.append((group, encode(message), self._decided_seconds))

    def flush(self, limit_seconds: float) -> None:
        self._end_decision()

    def _end_decision(self) -> None:
        if self._began is None:
            return
        took, clock = self._decided_seconds, self._clock
        for numbers, value in zip(self.decisions, (clock.now, took, self._num_reports), strict=True):
            numbers.append(value)
        outbox, self._outbox = self._outbox, []
        for group, letter, after in outbox:
            self._deliver(group, decode(letter), clock.now + after)
        clock.now += took
        for group in self._batch:
            if group in self._waiting:
                self._unserved.setdefault(group, clock.now)
        self._batch.clear()
        self._began = None
        step = self._settings.seconds / NUM_SAMPLES
        if len(self.memory) * step <= min(clock.now, self._settings.seconds):
            self.memory.append((clock.now, resident_bytes() - self._own_bytes))

    @property
    def _decided_seconds(self) -> float:
        """How long the decision has taken until now; where it is given, all of it counts before the first order."""
        assert self._began is not None
        if self._settings.decision != "measured":
            return float(self._settings.decision) * max(1, self._num_reports)
        thinking = self._elsewhere.real_seconds - self._real_thinking if self._elsewhere else 0.0
        return time.perf_counter() - self._began - thinking

    # The groups' side

    def _deliver(self, group: int, message: Order | Prefetch, sent: float) -> None:
        arrives = sent + self._settings.latency_seconds
        if isinstance(message, Prefetch):
            self._obtain(group, message.sources, arrives)
            return
        reported = self._waiting.pop(group)
        if sent <= self._settings.seconds:  # afterwards groups wait for the end
            self.queueing.append(sent - reported)
        free = self._free_since[group]
        self.wait_seconds += self._within(free, arrives)
        self.search_seconds += self._within(self._unserved.pop(group, sent), sent)
        for member_id in message.drop:
            self._held.pop((group, member_id), None)
        ledger = {"wait": arrives - free}
        if message.kind is OrderKind.STOP:
            self.stops_at = min(self.stops_at, sent)
            self._free_since[group] = arrives
            self._post(arrives + self._settings.latency_seconds, Stopped(group, ledger, self._written(group)))
            return
        assert message.member is not None
        has_all = self._obtain(group, message.sources, arrives)
        self.fetch_seconds += self._within(arrives, has_all)
        ledger["fetch"] = has_all - arrives
        if message.kind is not OrderKind.TEST:
            self._train(group, message.member, has_all, ledger)
            return
        self._free_since[group] = has_all
        reported = has_all + self._settings.latency_seconds
        self._post(reported, Tested(group, {}, ledger))
        if group in self._unwritten:
            self._push(reported, group, self._unwritten[group])

    def _train(self, group: int, member: Member, at: float, ledger: dict[str, float]) -> None:
        settings = self._settings
        rng = Random(self._seed * 2**40 + member.id)
        fom, checksum, seconds = self._fom(member, rng), rng.getrandbits(32), self._draw(rng)
        begins, failed = at, False
        while settings.failures_per_hour and not failed:
            until = SECONDS_PER_HOUR * rng.expovariate(settings.failures_per_hour)
            if until >= seconds or begins > settings.seconds:
                break
            if settings.failure == "lost":
                begins += until
            else:
                seconds, failed = until, True
        ends = begins + seconds
        if lost := begins - at:
            ledger["lost"] = lost
            self.lost_seconds += self._within(at, begins)
        ledger["train"] = seconds
        self.trained[0].append(begins)
        self.trained[1].append(ends)
        self.num_failed += failed and ends <= settings.seconds
        self._free_since[group] = ends
        durable = self._written(group)
        has_state = settings.state_bytes > 0 and not failed
        evaluation = Evaluation(
            member.id,
            math.nan if failed else fom,
            Status.FAILED if failed else Status.OK,
            {} if failed else {"fom": fom},
            seconds,
            ledger,
            settings.group_size,
            checksum if has_state else None,
            "failed, as was drawn" if failed else "",
        )
        self._post(ends + settings.latency_seconds, Evaluated(group, evaluation, durable))
        if has_state:
            self._held[group, member.id] = ends
            self._unwritten[group] = member.id
            on_disk = ends + self._copy_seconds + settings.latency_seconds
            self._push(on_disk, group, member.id)

    def _written(self, group: int) -> tuple[int, ...]:
        """States that it has brought to disk and not told of; what was dropped before is not written."""
        member_id = self._unwritten.pop(group, None)
        return (member_id,) if member_id is not None and (group, member_id) in self._held else ()

    def _fom(self, member: Member, rng: Random) -> float:
        """A bowl in unit space with noise; to be minimised."""
        bowl = sum(
            (gene.to_unit(member.genotype[gene.path]) - TARGET) ** 2
            for gene in self._space.unit_genes
            if gene.path in member.genotype
        )
        return bowl + rng.gauss(0.0, self._settings.noise)

    def _obtain(self, group: int, sources: Iterable[Source], at: float) -> float:
        """When a group has all these states; it asks for one after the other, and a leader sends one at a time."""
        for source in sources:
            if (group, source.member_id) not in self._held:
                self.num_fetched += 1
                self._held[group, source.member_id] = self._fetched(source, at)
            at = max(at, self._held[group, source.member_id])
        return at

    def _fetched(self, source: Source, at: float) -> float:
        holder = next((leader for leader in source.holders if (leader, source.member_id) in self._held), None)
        if holder is None:
            self.num_from_disk += 1
            return at + self._copy_seconds
        asked = at + self._settings.latency_seconds
        begins = max(asked, self._held[holder, source.member_id], self._sends_until.get(holder, 0.0))
        self._sends_until[holder] = begins + self._copy_seconds
        return self._sends_until[holder] + self._settings.latency_seconds

    @property
    def _copy_seconds(self) -> float:
        return self._settings.state_bytes / self._settings.bandwidth

    def _post(self, arrives: float, report: Report) -> None:
        self._push(arrives, report.group, encode(report))

    def _push(self, arrives: float, group: int, content: bytearray | int) -> None:
        heapq.heappush(self._reports, (arrives, next(self._number), group, content))

    # What is left at the end

    def _within(self, begins: float, ends: float) -> float:
        """How much of an interval lies within the budget."""
        budget = self._settings.seconds
        return max(0.0, min(ends, budget) - min(begins, budget))

    def close(self) -> None:
        """Accounts for the rest of the budget of groups that have stopped."""
        for since in self._free_since.values():
            self.wait_seconds += self._within(since, self._settings.seconds)

    @property
    def _own_bytes(self) -> int:
        """What the recorded figures hold."""
        return sum(numbers.itemsize * len(numbers) for numbers in (*self.trained, self.queueing, *self.decisions))


def resident_bytes() -> int:
    """Memory that this process holds now (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
