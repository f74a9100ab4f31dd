"""A view that fails is switched off with one line, and the run and the other views go on."""

import contextlib
import sys

import pytest

from nestedga.population.member import Evaluation, Member
from nestedga.protocol.messages import OrderKind
from nestedga.record.events import MemberAsked, MemberTold, OrderSent, TestRead
from nestedga.record.history import History
from nestedga.record.journal import Journal, JournalError, lines
from nestedga.record.run_folder import RunFolder
from nestedga.report.live import bars, views
from nestedga.report.live.guard import Guard
from nestedga.report.live.views import Views
from tests.record.starts import start


def play(folder, shown):
    """A run of one member; gives its views."""
    journal = Journal(folder.journal, shown.put)
    journal.record(start(population_size=1))
    journal.record(MemberAsked(Member(0, 0, 0, {"x": 0.5}, (), (), 1)))
    journal.record(OrderSent(0, 0, OrderKind.TRAIN))
    journal.record(MemberTold(0, Evaluation(0, 0.25, metrics={"error": 0.25})))
    journal.record(OrderSent(0, 0, OrderKind.TEST))
    journal.record(TestRead(0, 0, {"error": 0.5}, {}))
    journal.close()
    shown.close()


def said(capsys):
    captured = capsys.readouterr()
    assert "generation 1: error best 0.25" in captured.out, "the other view goes on"
    return captured.err.splitlines()


def test_a_folder_that_cannot_be_written(tmp_path, capsys):
    folder = RunFolder(tmp_path)
    folder.tensorboard.write_text("no folder")
    shown = Views(folder, live=False)
    play(folder, shown)
    (line,) = said(capsys)
    assert line.startswith("nestedga: TensorBoard is switched off (") and str(folder.tensorboard) in line
    assert line.endswith("); the run goes on") and shown.history.test.metrics == {"error": 0.5}
    again = Views(folder, live=False)
    assert len(list(again.replayed(lines(folder.journal)))) == 6 and again.history.num_evaluated == 1
    assert len(capsys.readouterr().err.splitlines()) == 1, "nor does it end a replay"


@pytest.mark.parametrize("step", ["__init__", "show", "close"])
def test_whatever_it_is_and_whenever(tmp_path, capsys, monkeypatch, step):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(views.TensorBoard, step, fail)
    folder = RunFolder(tmp_path)
    play(folder, Views(folder, live=False))
    assert said(capsys) == [
        "nestedga: TensorBoard is switched off (OSError: [Errno 28] No space left on device); the run goes on"
    ]


def test_lines_that_nobody_can_print(tmp_path, monkeypatch):
    full = open("/dev/full", "w")  # noqa: SIM115 (it cannot be closed without an error)
    monkeypatch.setattr(sys, "stdout", full)
    monkeypatch.setattr(sys, "stderr", full)
    folder = RunFolder(tmp_path)
    play(folder, Views(folder, live=False))
    assert (folder.tensorboard / "population").exists(), "the other view goes on"
    with contextlib.suppress(OSError):
        full.close()


def test_bars_that_fail_in_their_own_thread(tmp_path, capsys, monkeypatch):
    def fail(*_):
        raise RuntimeError("no colours\nleft")

    history = History(tmp_path / "journal.jsonl")
    made = []
    guard = Guard("the display", lambda: made.append(bars.Bars(history)) or made[0])
    monkeypatch.setattr(bars, "render", fail)
    made[0]._thread.join(timeout=60.0)
    guard.show(None, None, history)
    guard.show(None, None, history)
    guard.close()
    assert capsys.readouterr().err.splitlines() == [
        "nestedga: the display is switched off (RuntimeError: no colours left); the run goes on"
    ]


def test_a_journal_that_cannot_be_is_no_matter_of_display(tmp_path):
    folder = RunFolder(tmp_path)
    shown = Views(folder, live=False)
    journal = Journal(folder.journal, shown.put)
    journal.record(start())
    journal.record(MemberTold(0, Evaluation(0, 0.5)))
    journal.close()
    with pytest.raises(JournalError, match=r"line 2: group 0 hands in member 0, which it was not given"):
        shown.show()
