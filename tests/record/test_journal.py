"""The journal: exact, append-only, forgiving for a torn last line and for nothing else."""

import math

import numpy as np
import pytest

from nestedga.record import journal
from nestedga.record.journal import Journal, JournalError


def write(path, count=5):
    book = Journal(path)
    for number in range(count):
        book.record("order", group=0, member_id=number, value=0.1 * number)
    book.close()


def ids(path):
    return [record["member_id"] for record in journal.read(path)]


def test_what_was_written_is_read(tmp_path):
    path = tmp_path / "journal.jsonl"
    write(path)
    assert [record["value"] for record in journal.read(path)] == [0.1 * number for number in range(5)]


def test_missing_is_not_broken(tmp_path):
    assert list(journal.read(tmp_path / "journal.jsonl")) == []


def test_nothing_is_on_disk_before_flush(tmp_path):
    path = tmp_path / "journal.jsonl"
    book = Journal(path)
    book.record("order", group=0, member_id=0)
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


def test_a_record_knows_where_its_line_stands(tmp_path):
    path, made = tmp_path / "journal.jsonl", []
    for _ in range(2):  # a second writer goes on behind the first
        book = Journal(path, made.append)
        for number in range(5):
            book.record("order", group=number, what="ü" * number)
        book.close()
    lines = list(journal.read(path))
    assert [record.offset for record in lines] == [record.offset for record in made]
    assert [journal.read_at(path, record.offset) for record in reversed(made)] == lines[::-1] == made[::-1]
    with pytest.raises(JournalError, match=r"journal\.jsonl, byte 1: checksum"):
        journal.read_at(path, 1)


def test_the_end_of_the_last_line_is_found_however_much_was_torn(tmp_path):
    path = tmp_path / "journal.jsonl"
    for torn in (0, 1, 2**16 - 1, 2**16, 2**16 + 1, 200_000):
        path.unlink(missing_ok=True)
        write(path, 3)
        with path.open("ab") as file:
            file.write(b"x" * torn)
        write(path, 1)
        assert ids(path) == [0, 1, 2, 0]
    path.write_bytes(b"x" * 200_000)
    write(path, 1)
    assert ids(path) == [0]


def test_numbers_are_read_as_they_were_written(tmp_path):
    path, values = tmp_path / "journal.jsonl", [0.1, 1e-7, -0.0, 1e300, 5e-324, 2**53 + 1, True, None, "ü\n", [1, [2]]]
    values += np.random.default_rng(0).normal(size=1000).tolist()
    book = Journal(path)
    book.record("order", values=values, numpy=[np.float64(0.1), np.float32(0.1), np.int64(2**53 + 1), np.bool_(True)])
    book.close()
    (record,) = journal.read(path)
    assert repr(record["values"]) == repr(values)
    assert record["numpy"] == [0.1, float(np.float32(0.1)), 2**53 + 1, True]


def test_json_has_no_nan(tmp_path):
    assert journal.decode(journal.encode({"event": "order", "value": math.nan}))["value"] is None


def test_what_is_no_json_is_refused():
    with pytest.raises(TypeError):
        journal.encode({"event": "order", "value": object()})


def test_a_journal_written_by_the_standard_library_is_read():
    line = b'{"event":"order","time":1.5e-07,"what":"\\u00fc","crc":"04d13d6e"}\n'
    assert journal.decode(line) == {"event": "order", "time": 1.5e-7, "what": "ü"}
