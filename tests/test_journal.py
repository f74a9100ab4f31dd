"""The journal: exact, append-only, forgiving for a torn last line and for nothing else."""

import pytest

from nestedga import journal
from nestedga.journal import Journal, JournalError


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
