"""TensorBoard from the journal: one run per slot, so that schedules lie over one another, and one for the population.

Written with tensorboard's own record writer, without threads: a population of a thousand needs none.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from nestedga.journal import Record
from nestedga.report.history import History


class TensorBoard:
    """Writes scalars as records come in; begins the folder anew, for the journal tells all.

    The horizontal axis is the length trained on a slot, in the interval's unit (epochs or steps).
    """

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self._folder = folder
        self._history = History()
        self._writers: dict[str, RecordWriter] = {}
        self._trained: dict[int, int] = {}  # length trained, by slot
        self._charged: dict[str, float] = {}  # the ledger at the last row

    def take(self, record: Record) -> None:
        row = self._history.take(record)
        if record["event"] == "tell":
            self._write_evaluation(record)
        if row is not None:
            self._write_row(row, record["time"])
        if record["event"] == "test":
            scalars = {f"test/{name}": value for name, value in record["metrics"].items()}
            self._write("population", record["time"], max(self._trained.values()), scalars)

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()

    def _write_evaluation(self, record: Record) -> None:
        evaluation = self._history.evaluations[record["evaluation"]["member_id"]]
        member = self._history.members[evaluation.member_id]
        run = f"slot_{member.slot:03d}"
        before = self._trained.get(member.slot, 0)
        after = self._trained[member.slot] = before + member.budget
        genes = {f"schedule/{path}": value for path, value in member.genotype.items() if not isinstance(value, str)}
        self._write(run, record["time"], before, genes)
        self._write(
            run,
            record["time"],
            after,
            {f"fitness/{name}": value for name, value in evaluation.metrics.items()},
        )

    def _write_row(self, row: list[int], time: float) -> None:
        history = self._history
        step = sum(self._trained.values()) // len(self._trained)  # the mean slot's; members differ in length
        scalars: dict[str, float] = {}
        for number, name in enumerate(history.objectives.names):
            if spread := history.spread(row, number):
                scalars |= zip((f"{name}/best", f"{name}/median", f"{name}/worst"), spread, strict=True)
            if history.front.ids:
                scalars[f"{name}/best_so_far"] = history.best_values[number]
        if len(history.objectives) > 1:
            scalars |= {"front/members": len(history.front.ids), "front/hypervolume": history.front.hypervolume()}
        spent = {activity: seconds - self._charged.get(activity, 0.0) for activity, seconds in history.ledger.items()}
        self._charged = dict(history.ledger)
        total = sum(spent.values()) or 1.0
        scalars |= {f"time/{activity}": seconds / total for activity, seconds in spent.items()}
        scalars["failed"] = float(sum(not history.evaluations[i].ok for i in row))
        self._write("population", time, step, scalars)

    def _write(self, run: str, time: float, step: int, scalars: dict[str, float]) -> None:
        if not scalars:
            return
        writer = self._writers.get(run)
        if writer is None:
            folder = self._folder / run
            folder.mkdir(parents=True)
            writer = self._writers[run] = RecordWriter(open(folder / "events.out.tfevents.nestedga", "wb"))  # noqa: SIM115
            writer.write(Event(wall_time=time, file_version="brain.Event:2").SerializeToString())
        values = [Summary.Value(tag=tag, simple_value=float(value)) for tag, value in scalars.items()]
        writer.write(Event(wall_time=time, step=step, summary=Summary(value=values)).SerializeToString())
        writer.flush()
