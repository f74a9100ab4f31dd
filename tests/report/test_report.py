"""Views are readings of the journal: what they show is what it tells."""

import io
import json

import pytest
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nestedga.record import journal
from nestedga.record.history import History
from nestedga.report.live.bars import render
from nestedga.report.live.tensorboard import TensorBoard
from nestedga.report.summary import summarise

FUNCTION = (
    "evaluator=function",
    "+function={_target_: tests.functions.lineage, x: 0.5}",
    "+space.function.x={type: float, low: 0, high: 1}",
    "search.generations=5",
)


@pytest.fixture
def answer(nestedga):
    return nestedga(2, *FUNCTION)


def scalars(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_has_a_run_per_slot_with_its_schedule(answer):
    members = {r["member"]["id"]: r["member"] for r in answer.records if r["event"] == "ask"}
    foms = {r["evaluation"]["member_id"]: r["evaluation"]["fom"] for r in answer.records if r["event"] == "tell"}
    for slot in range(4):
        seen = scalars(answer.folder / "tensorboard" / f"slot_{slot:03d}")
        line = [member for member in sorted(members.values(), key=lambda m: m["id"]) if member["slot"] == slot]
        expected = [
            (generation, pytest.approx(m["genotype"]["function.x"], rel=1e-6)) for generation, m in enumerate(line)
        ]
        assert seen["schedule/function.x"] == expected
        assert seen["fitness/fom"] == [
            (generation + 1, pytest.approx(foms[m["id"]], rel=1e-6)) for generation, m in enumerate(line)
        ]


def test_tensorboard_shows_the_population_and_where_time_goes(answer):
    seen = scalars(answer.folder / "tensorboard" / "population")
    foms = {r["evaluation"]["member_id"]: r["evaluation"]["fom"] for r in answer.records if r["event"] == "tell"}
    for row in range(5):
        generation = sorted(foms[i] for i in range(4 * row, 4 * row + 4))
        assert seen["fom/best"][row] == (row + 1, pytest.approx(generation[0], rel=1e-6))
        assert seen["fom/median"][row][1] == pytest.approx((generation[1] + generation[2]) / 2, rel=1e-6)
        assert seen["fom/worst"][row][1] == pytest.approx(generation[3], rel=1e-6)
        shares = [values[row][1] for tag, values in seen.items() if tag.startswith("time/") and len(values) == 5]
        assert sum(shares) == pytest.approx(1.0, abs=0.05)


def test_tensorboard_can_be_deleted_and_made_again(answer, tmp_path):
    rebuilt, history = TensorBoard(tmp_path / "again"), History(answer.folder / "journal.jsonl")
    for line in journal.lines(answer.folder / "journal.jsonl"):
        rebuilt.show(line, history.take(line), history)
    rebuilt.close()
    for folder in (answer.folder / "tensorboard").iterdir():
        assert scalars(folder) == scalars(tmp_path / "again" / folder.name)


def test_the_summary_tells_what_the_journal_tells(answer):
    history = History.of(answer.folder / "journal.jsonl")
    assert json.loads(json.dumps(summarise(history))) == answer.summary
    summary = answer.summary
    assert summary["status"] == "complete" and summary["evaluations"] == {"ok": 20}
    assert set(summary["best"]) >= {"member_id", "slot", "genotype", "fitness_fom", "test"}
    assert summary["best"]["fitness_fom"] == min(r["evaluation"]["fom"] for r in answer.records if r["event"] == "tell")


def test_the_best_member_can_be_run_again_from_its_overrides(answer):
    overrides = dict(line.split("=") for line in (answer.folder / "best" / "overrides.txt").read_text().splitlines())
    assert {path: float(value) for path, value in overrides.items()} == answer.summary["best"]["genotype"]


def test_watch_shows_a_run_and_changes_nothing(answer, mpi, tmp_path):
    import subprocess
    import sys

    from tests.conftest import environment

    before = (answer.folder / "journal.jsonl").read_bytes()
    command = [sys.executable, "-m", "nestedga.watch", str(answer.folder), "--once"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=environment())
    assert "20/20" in shown.stdout and "best" in shown.stdout
    assert (answer.folder / "journal.jsonl").read_bytes() == before
    nothing = subprocess.run(  # noqa: PLW1510 (it must fail)
        [*command[:3], str(tmp_path)], capture_output=True, text=True, timeout=60, env=environment()
    )
    assert nothing.returncode == 2 and "holds no journal" in nothing.stderr


def test_the_display_renders_at_every_moment(answer):
    history = History(answer.folder / "journal.jsonl")
    console = Console(file=io.StringIO(), width=100)
    console.print(render(history, 0.0))
    for line in journal.lines(answer.folder / "journal.jsonl"):
        history.take(line)
        console.print(render(history, line.time))
    assert "generation 5/5" in console.file.getvalue()


def test_a_run_outlives_its_displays(nestedga, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "tensorboard").write_text("no folder")
    answer = nestedga(2, *FUNCTION)
    (line,) = answer.said
    assert line.startswith("nestedga: TensorBoard is switched off (") and line.endswith("; the run goes on")
    assert answer.summary["status"] == "complete" and answer.summary["evaluations"] == {"ok": 20}
    assert "generation 5/5" in answer.out
