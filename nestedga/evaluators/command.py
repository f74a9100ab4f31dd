"""A program as evaluator: an ordinary training script, in any language, as a black box."""

from __future__ import annotations

import math
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nestedga.errors import MemberFailed, SettingError
from nestedga.evaluators.base import Result
from nestedga.evaluators.black_box.checkpoint_folder import pack, unpack
from nestedga.evaluators.black_box.child import Child, Ending
from nestedga.evaluators.black_box.command_line import CommandLine
from nestedga.evaluators.black_box.output import Output, read_result
from nestedga.population.keys import key
from nestedga.population.member import Member
from nestedga.rank.place import Place, Settings
from nestedga.states.state import State

SEEDS = 1 << 31  # what every library takes


class CommandFailed(MemberFailed):
    """A command did not do what it should; the end of its output follows the first line."""


class CommandTimeout(MemberFailed, TimeoutError):
    """A command took longer than it may."""


class CommandEvaluator:
    """Runs ``command.arguments`` once per group, on its first rank; the others sleep meanwhile.

    Placeholders are filled from the other keys of the section (the genes) and from what the run knows; see
    docs/black_box.md. Metrics are lines ``NAME: NUMBER`` of the output, or a JSON file where the arguments name
    ``{result}``. What the command saves in ``{checkpoint_out}`` is the member's state.

    Args:
        seed: of the run, from which each member's is drawn.
        metrics: names of what it tells; upper and lower case are alike.
        timeout_seconds: of one run of it; None: as long as it takes.

    Raises:
        SettingError: no name, a name twice, or a limit that leaves no time.
    """

    sections = ("command",)
    repeatable = False  # who knows what it does

    def __init__(
        self, *, seed: int, metrics: Sequence[str] = ("fom",), timeout_seconds: float | None = None, **_: Any
    ) -> None:
        typed: Sequence[object] = metrics  # whatever it is
        names = {name.lower() for name in typed if isinstance(name, str)}
        if isinstance(metrics, str) or not metrics or len(names) < len(metrics):
            raise SettingError(f"evaluator.metrics={metrics!r} must be a list of different names, as in [fom]")
        is_number = isinstance(timeout_seconds, int | float) and not isinstance(timeout_seconds, bool)
        if timeout_seconds is not None and not (is_number and timeout_seconds > 0):
            raise SettingError(
                f"evaluator.timeout_seconds={timeout_seconds!r} must be a number above 0, or null for no limit"
            )
        self._names = tuple(metrics)
        self.metrics = (*self._names, "checkpoint_bytes")
        self._seed = seed
        self._limit_seconds = timeout_seconds
        self._place: Place

    def open(self, place: Place, settings: Settings) -> None:
        self._place = place
        command = CommandLine(settings["command"])
        command.check_programs()
        search = settings["search"]
        inherits = search.get("inherit", "weights") == "weights"
        if inherits and not command.uses("checkpoint_in"):
            raise SettingError(
                "search.inherit=weights, but command.arguments has no {checkpoint_in}: all members would begin afresh; "
                "name that folder, or use search.inherit=none, or a search that has it"
            )
        for name, section in (("search", search), ("search.wrapped", search.get("wrapped"))):
            mixes = isinstance(section, Mapping) and section.get("weights") in ("average", "layerwise")
            if mixes and section.get("inherit", "weights") == "weights":
                raise SettingError(
                    f"{name}.weights={section['weights']}: files cannot be mixed; use {name}.weights=clone"
                )

    def check(self, settings: Settings) -> None:
        """Only the command knows."""

    def train(self, member: Member, settings: Settings, parent: State | None) -> Result:
        if member.inheritance != "clone":  # of a search whose settings say so elsewhere
            raise CommandFailed(f"files of two parents cannot be mixed, as {member.inheritance} would")
        if self._place.inner_rank:
            self._place.watchdog.rest()  # what comes next is a wait for the first rank
            return Result({}, None)
        log = self._place.logs / f"member_{member.id:06d}.log" if self._place.logs else None
        return self._run("arguments", member, settings, parent, log)

    def test(self, member: Member, settings: Settings, state: State | None) -> dict[str, float]:
        if self._place.inner_rank or not CommandLine(settings["command"]).has_test:
            return {}
        log = self._place.logs / "test.log" if self._place.logs else None
        return self._run("test_arguments", member, settings, state, log).metrics

    def move(self, place: Place) -> None:
        self._place = place

    def release(self) -> None:
        """Nobody waits for anybody inside a command of ours."""

    def restart(self) -> None:
        """Nothing was stopped."""

    def close(self) -> None:
        """Nothing is open."""

    def _run(self, which: str, member: Member, settings: Settings, parent: State | None, log: Path | None) -> Result:
        command = CommandLine(settings["command"])
        with Child() as child, Output(self._names, log) as output:
            files = {name: child.scratch / name for name in ("checkpoint_in", "checkpoint_out", "result")}
            with self._place.ledger.during("checkpoint"):
                files["checkpoint_in"].mkdir()
                files["checkpoint_out"].mkdir()
                if parent is not None:
                    unpack(parent, files["checkpoint_in"])
            given = {
                "budget": member.budget,
                "member_id": member.id,
                "node_rank": self._place.node_rank,
                "ranks": self._place.inner_size,
                "seed": key(self._seed, member.id) % SEEDS,
                **files,
            }
            limit_seconds = math.inf if self._limit_seconds is None else self._limit_seconds
            streams = output.stream(), output.stream()
            ending = child.run(command.fill(which, given), limit_seconds, streams, self._place.watchdog.beat)
            for stream in streams:
                stream(b"")
            if not ending.in_time:
                raise CommandTimeout(f"it took longer than evaluator.timeout_seconds={limit_seconds:g}\n{output.end()}")
            try:
                _check(ending)
                if command.uses("result", which):
                    metrics = read_result(files["result"], self._names)
                else:
                    metrics = output.metrics()
                if which == "test_arguments" or not command.uses("checkpoint_out"):
                    return Result(metrics, None)
                with self._place.ledger.during("checkpoint"):
                    state = pack(files["checkpoint_out"])
            except ValueError as error:
                raise CommandFailed(f"{error}\n{output.end()}") from None
        return Result({**metrics, "checkpoint_bytes": float(state.buffer.size)}, state)


def _check(ending: Ending) -> None:
    """Raises ValueError unless the command ended well."""
    if ending.error:
        raise ValueError(f"it could not be started: {ending.error}")
    if ending.code is None:
        raise ValueError("it could not be ended; the kernel holds it")
    if ending.code < 0:
        raise ValueError(f"it was killed by {signal.Signals(-ending.code).name}")
    if ending.code > 0:
        raise ValueError(f"it ended with exit code {ending.code}")
