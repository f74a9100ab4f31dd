"""The journal: exact, append-only, forgiving for a torn last line and for nothing else."""

import json
import math
import zlib

import numpy as np
import pytest

from nestedga.population.member import Evaluation, Member, Status
from nestedga.population.objectives import ObjectiveConfig
from nestedga.protocol.messages import OrderKind
from nestedga.record import journal
from nestedga.record.events import (
    EVENTS,
    GroupsReformed,
    MemberAsked,
    MemberEmigrated,
    MemberImmigrated,
    MemberRetrained,
    MemberTold,
    OrderFailed,
    OrderSent,
    Origin,
    RunBegan,
    RunEnded,
    RunResumed,
    TestRead,
)
from nestedga.record.journal import Journal, JournalError, Tail
from tests.record.starts import start

MEMBER = Member(0, 1, 2, {"x": 0.5, "n": 3, "kind": "deep", "flag": True}, (1, 2), (1,), 4)
EVALUATION = Evaluation(0, 0.25, metrics={"error": 0.25}, ledger={"train": 1.5}, checksum=7, objectives=(0.25, 2.0))
EXAMPLES = [
    start(RunBegan, objective=ObjectiveConfig(["a", "b"], ["min", "max"]), versions={"torch": "2"}),
    start(RunResumed, part=1, first=3, num_evaluations=9, config_digest="00ff", command=("a=1",)),
    MemberAsked(MEMBER, 3),
    OrderSent(0, 0, OrderKind.RETRAIN),
    MemberTold(0, EVALUATION),
    MemberRetrained(0, 0, {"train": 2.0}),
    OrderFailed(0, 0, 1, {"fetch": 3.0}),
    GroupsReformed(((0, 2), (2, 1)), {"wait": 1.0}),
    MemberEmigrated(0, 1),
    MemberImmigrated(MEMBER, EVALUATION, Origin(1, 5)),
    TestRead(0, 0, {"error": 0.5}, {"evaluate": 0.5}),
    RunEnded("complete", (4, 2), {"wait": 0.5}),
]


def write(path, count=5):
    book = Journal(path)
    for number in range(count):
        book.record(OrderSent(0, number, OrderKind.TRAIN))
    book.close()


def ids(path):
    return [record["member_id"] for record in journal.read(path)]


def test_every_event_is_read_as_it_was_written(tmp_path):
    assert {type(event) for event in EXAMPLES} == set(EVENTS.values())
    made, now = [], iter(range(100))
    book = Journal(tmp_path / "journal.jsonl", made.append, clock=lambda: next(now) / 8)
    for event in EXAMPLES:
        book.record(event)
    book.close()
    assert list(journal.lines(tmp_path / "journal.jsonl")) == made
    assert [line.event for line in made] == EXAMPLES
    assert [(line.number, line.time) for line in made] == [(i + 1, i / 8) for i in range(len(EXAMPLES))]
    records = list(journal.read(tmp_path / "journal.jsonl"))
    assert [record["event"] for record in records] == list(
        map({kind: word for word, kind in EVENTS.items()}.get, map(type, EXAMPLES))
    )
    assert records[4]["evaluation"]["status"] == "ok" and records[3]["task"] == "retrain"


def test_missing_is_not_broken(tmp_path):
    assert list(journal.read(tmp_path / "journal.jsonl")) == []


def test_nothing_is_on_disk_before_flush(tmp_path):
    path = tmp_path / "journal.jsonl"
    book = Journal(path)
    book.record(OrderSent(0, 0, OrderKind.TRAIN))
    assert ids(path) == []
    book.flush()
    assert ids(path) == [0]


@pytest.mark.parametrize("kept", [1, 10, -1])
def test_a_torn_last_line_is_forgiven_and_cut_off(tmp_path, kept):
    path = tmp_path / "journal.jsonl"
    write(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:kept])
    assert ids(path) == [0, 1, 2, 3]
    write(path, 1)
    assert ids(path) == [0, 1, 2, 3, 0]


@pytest.mark.parametrize("line", [1, 3, 5])
def test_any_other_damage_names_file_and_line(tmp_path, line):
    path = tmp_path / "journal.jsonl"
    write(path)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line - 1] = lines[line - 1].replace(b'"member_id":', b'"member_id":1')
    path.write_bytes(b"".join(lines))
    with pytest.raises(JournalError, match=f"journal.jsonl, line {line}: checksum"):
        ids(path)


def test_a_line_is_found_again_where_it_stands(tmp_path):
    path, made = tmp_path / "journal.jsonl", []
    for _ in range(2):  # a second writer goes on behind the first
        book = Journal(path, made.append)
        for number in range(5):
            book.record(RunEnded("ü" * number, (), {}))
        book.close()
    assert [line.number for line in made] == list(range(1, 11))
    assert list(journal.lines(path)) == made
    assert [journal.read_at(path, line.offset) for line in reversed(made)] == [line.event for line in reversed(made)]
    with pytest.raises(JournalError, match=r"journal\.jsonl, byte 1: checksum"):
        journal.read_at(path, 1)


def test_a_tail_gives_what_has_come_since(tmp_path):
    path = tmp_path / "journal.jsonl"
    tail = Tail(path)
    assert list(tail.new_lines()) == []
    write(path, 2)
    assert [line.number for line in tail.new_lines()] == [1, 2]
    with path.open("ab") as file:
        file.write(b'{"event":"or')
    assert list(tail.new_lines()) == []
    write(path, 1)
    assert [record["number"] for record in tail.new_records()] == [3]


def test_the_end_of_the_last_line_is_found_however_much_was_torn(tmp_path):
    path = tmp_path / "journal.jsonl"
    for torn in (0, 1, 2**20 - 1, 2**20, 2**20 + 1, 3_000_000):
        path.unlink(missing_ok=True)
        write(path, 3)
        with path.open("ab") as file:
            file.write(b"x" * torn)
        write(path, 1)
        assert ids(path) == [0, 1, 2, 0]
    path.write_bytes(b"x" * 3_000_000)
    write(path, 1)
    assert ids(path) == [0]


def test_numbers_are_read_as_they_were_written(tmp_path):
    path, values = tmp_path / "journal.jsonl", [0.1, 1e-7, -0.0, 1e300, 5e-324, float(2**53 + 1)]
    values += np.random.default_rng(0).normal(size=1000).tolist()
    genotype = {"int": 2**53 + 1, "bool": True, "text": 'ü\n"', "float": 1.0}
    of_numpy = {"double": np.float64(0.1), "single": np.float32(0.1), "int": np.int64(3)}
    book = Journal(path)
    book.record(MemberAsked(Member(0, 0, 0, genotype, (), (), 1)))
    book.record(TestRead(0, 0, {**dict(zip(map(str, range(len(values))), values, strict=True)), **of_numpy}, {}))
    book.close()
    asked, test = (line.event for line in journal.lines(path))
    assert repr(asked.member.genotype) == repr(genotype)
    assert repr(list(test.metrics.values())[: len(values)]) == repr(values)
    assert [test.metrics[name] for name in ("double", "single", "int")] == [0.1, float(np.float32(0.1)), 3.0]


def test_json_has_no_nan_and_there_is_one_again_where_there_was(tmp_path):
    path = tmp_path / "journal.jsonl"
    book = Journal(path)
    book.record(MemberTold(0, Evaluation(0, math.nan, metrics={"error": math.nan, "loss": 1.0})))
    book.record(TestRead(0, 0, {"error": math.nan}, {}))
    book.close()
    assert b"NaN" not in path.read_bytes() and b'"fom":null' in path.read_bytes()
    told, test = (line.event for line in journal.lines(path))
    assert told.evaluation.status is Status.FAILED and math.isnan(told.evaluation.fom)
    assert math.isnan(told.evaluation.metrics["error"]) and told.evaluation.metrics["loss"] == 1.0
    assert math.isnan(test.metrics["error"])


def test_what_is_no_json_is_refused(tmp_path):
    with pytest.raises(TypeError, match="no plain data"):
        Journal(tmp_path / "journal.jsonl").record(TestRead(0, 0, {"error": object()}, {}))


def test_a_journal_written_by_the_standard_library_is_read(tmp_path):
    record = {"event": "end", "time": 1.5e-7, "status": "ü", "front": [1], "ledger": {"wait": 1}}
    content = json.dumps(record, separators=(",", ":")).encode()
    assert b"1.5e-07" in content and b"u00fc" in content
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'%b,"crc":"%08x"}\n' % (content[:-1], zlib.crc32(content)))
    (line,) = journal.lines(path)
    assert (line.number, line.time, line.event) == (1, 1.5e-7, RunEnded("ü", (1,), {"wait": 1.0}))
