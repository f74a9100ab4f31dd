"""Runs of version 0.1, killed in the middle, are summed up, watched and gone on with.

Beside each, what the same run gave there where nobody killed it, by member.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nestedga.record import journal
from nestedga.record.events import RunBegan
from nestedga.record.history import History
from nestedga.report.summary import summarise
from tests.conftest import environment

FOLDERS = Path(__file__).parent / "v0_1"
TOLD_BEFORE = {"function": 8, "training": 10}


def uninterrupted(name):
    return json.loads((FOLDERS / f"{name}.json").read_text())


def outcome(records):
    """In the form of ``uninterrupted``."""
    members = {r["member"]["id"]: r["member"] for r in records if r["event"] == "ask"}
    told = {r["evaluation"]["member_id"]: r["evaluation"] for r in records if r["event"] == "tell"}
    return [
        {
            **{key: members[i][key] for key in ("id", "genotype", "weights_parents")},
            **{key: told[i][key] for key in ("fom", "checksum")},
        }
        for i in sorted(told)
    ]


@pytest.fixture(params=TOLD_BEFORE)
def name(request):
    return request.param


@pytest.fixture
def copy(name, tmp_path):
    return shutil.copytree(FOLDERS / name, tmp_path / "run")


def test_it_is_summed_up(name):
    history = History.of(FOLDERS / name / "journal.jsonl")
    summary = summarise(history)
    assert summary["status"] == "running" and summary["evaluations"] == {"ok": TOLD_BEFORE[name]}
    told = uninterrupted(name)[: TOLD_BEFORE[name]]
    assert outcome(list(journal.read(FOLDERS / name / "journal.jsonl"))) == told
    best = (min if name == "function" else max)(member["fom"] for member in told)
    assert summary["best"]["fitness_fom"] == best and told[summary["best"]["member_id"]]["fom"] == best
    assert sum(summary["ledger"].values()) <= summary["group_seconds"]


def test_it_is_watched(name, copy):
    command = [sys.executable, "-m", "nestedga.watch", str(copy), "--once"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=environment())
    assert f"{TOLD_BEFORE[name]}/{len(uninterrupted(name))}" in shown.stdout and "running" in shown.stdout


def test_it_goes_on(name, copy, nestedga):
    book = copy / "journal.jsonl"
    before = book.read_bytes()
    begun = next(journal.lines(book)).event
    answer = nestedga(2, *(word for word in begun.command if not word.startswith("run.dir=")), "resume=true")
    assert answer.summary["status"] == "complete"
    assert book.read_bytes().startswith(before), "what was journalled stays as it is"
    lines = list(journal.lines(book))
    starts = [line.event for line in lines if isinstance(line.event, RunBegan)]
    assert [start.format for start in starts] == [1, 2] and starts[1].config_digest is not None
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))
    ended, expected = outcome(answer.records), uninterrupted(name)
    assert answer.summary["evaluations"] == {"ok": len(expected)} and len(ended) == len(expected)
    if name == "function":
        assert ended == expected
    else:  # networks come out with other last bits on other processors
        assert ended[: TOLD_BEFORE[name]] == expected[: TOLD_BEFORE[name]]
        assert answer.summary["best"]["test"]["accuracy"] > 0.5
