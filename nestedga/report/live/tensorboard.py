"""TensorBoard from the journal: one run per slot, so that schedules lie over one another, and one for the population.

Written as tensorboard's own record writer does, but without threads, and with a checksum that is computed in C: in
Python it took as long as everything else together.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Mapping, Sequence
from io import FileIO
from pathlib import Path

import google_crc32c
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from nestedga.population.member import Evaluation
from nestedga.record.events import TestRead
from nestedga.record.history import History
from nestedga.record.line import JournalLine
from nestedga.record.members import Told

MOST_SLOTS = 256  # with a run of their own: each is an open file, and nobody could tell more curves apart


class TensorBoard:
    """Writes scalars as records come in; begins the folder anew, for the journal tells all.

    The horizontal axis is the length trained on a slot, in the interval's unit (epochs or steps).
    """

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self._folder = folder
        self._files: dict[str, FileIO] = {}
        self._trained: dict[int, int] = {}  # length trained, by slot
        self._charged: dict[str, float] = {}  # the ledger at the last row

    def show(self, line: JournalLine, told: Told | None, history: History) -> None:
        """Writes what a line says that the history has just taken in."""
        if told is not None:
            self._write_evaluation(told, line.time)
        if history.completed_row is not None:
            self._write_row(history.completed_row, history)
        if isinstance(line.event, TestRead):
            scalars = {f"test/{name}": value for name, value in line.event.metrics.items()}
            self._write("population", line.time, {max(self._trained.values()): scalars})

    def close(self) -> None:
        for file in self._files.values():
            file.close()

    def _write_evaluation(self, told: Told, time: float) -> None:
        member, metrics = told.member, told.evaluation.metrics
        before = self._trained.get(member.slot, 0)
        after = self._trained[member.slot] = before + member.budget
        if member.slot < MOST_SLOTS:
            genes = {
                f"schedule/{path}": value for path, value in member.genotype.items() if isinstance(value, int | float)
            }
            fitness = {f"fitness/{name}": value for name, value in metrics.items()}
            ranks = {"ranks": float(told.evaluation.ranks)}
            self._write(f"slot_{member.slot:03d}", time, {before: genes, after: fitness | ranks})

    def _write_row(self, row: Sequence[Evaluation], history: History) -> None:
        step = sum(self._trained.values()) // len(self._trained)  # the mean slot's; members differ in length
        scalars: dict[str, float] = {}
        for number, name in enumerate(history.objectives.names):
            if spread := history.spread(row, number):
                scalars |= zip((f"{name}/best", f"{name}/median", f"{name}/worst"), spread, strict=True)
            if history.front.ids:
                scalars[f"{name}/best_so_far"] = history.best_values[number]
        if len(history.objectives) > 1:
            scalars |= {"front/members": len(history.front.ids), "front/hypervolume": history.front.hypervolume()}
        spent = {
            activity: seconds - self._charged.get(activity, 0.0) for activity, seconds in history.seconds.ledger.items()
        }
        self._charged = dict(history.seconds.ledger)
        total = sum(spent.values()) or 1.0
        scalars |= {f"time/{activity}": seconds / total for activity, seconds in spent.items()}
        scalars["failed"] = float(sum(not evaluation.ok for evaluation in row))
        self._write("population", history.seconds.now, {step: scalars})

    def _write(self, run: str, time: float, scalars: Mapping[int, Mapping[str, float]]) -> None:
        """Appends an event for each step that has scalars."""
        events = [
            Event(wall_time=time, step=step, summary=Summary(value=_values(named)))
            for step, named in scalars.items()
            if named
        ]
        if events and run not in self._files:
            (self._folder / run).mkdir(parents=True)
            self._files[run] = open(self._folder / run / "events.out.tfevents.nestedga", "wb", buffering=0)  # noqa: SIM115
            events.insert(0, Event(wall_time=time, file_version="brain.Event:2"))
        if events:
            self._files[run].write(b"".join(_framed(event.SerializeToString()) for event in events))


def _values(scalars: Mapping[str, float]) -> list[Summary.Value]:
    return [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]


def _framed(data: bytes) -> bytes:
    """A record of TensorFlow's format: length and data, each with its checksum."""
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    """CRC-32C, rotated and shifted as the format has it."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
