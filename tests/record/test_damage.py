"""A journal of which a line is missing, doubled, swapped or changed is refused in one line that names it."""

import json
import zlib

import pytest

from nestedga.record import journal
from nestedga.record.history import History
from nestedga.record.journal import JournalError
from tests.record.test_earlier_version import FOLDERS

RECORDS = list(journal.read(FOLDERS / "function" / "journal.jsonl"))


def written(path, records, formatted, renumbered=False):
    """Writes a journal of a format with right checksums; a record keeps the number of its place in ``RECORDS``."""
    with path.open("wb") as file:
        for place, record in enumerate(records):
            number = place if renumbered else next(i for i, known in enumerate(RECORDS) if known is record)
            stamp = {"event": record["event"], "number": number + 1} if formatted == 2 else {}
            content = json.dumps({**stamp, **record}, separators=(",", ":")).encode()
            file.write(b'%b,"crc":"%08x"}\n' % (content[:-1], zlib.crc32(content)))
    return path


def refusal(path):
    """The message, where the journal is refused; else None. Whatever else goes wrong is not caught."""
    try:
        History.of(path)
    except JournalError as error:
        said = str(error)
    else:
        return None
    assert "\n" not in said and f"{path}, line " in said and "restore the file" in said
    return said


def without(place):
    return [*RECORDS[:place], *RECORDS[place + 1 :]]


def doubled(place):
    return [*RECORDS[: place + 1], *RECORDS[place:]]


def swapped(place):
    return [*RECORDS[:place], RECORDS[place + 1], RECORDS[place], *RECORDS[place + 2 :]]


DAMAGES = {"missing": without, "doubled": doubled, "swapped": swapped}
PLACES = range(len(RECORDS) - 1)  # that the last is missing nobody can know


@pytest.fixture(params=[1, 2])
def formatted(request):
    return request.param


def place_of(event, number=0):
    return [i for i, record in enumerate(RECORDS) if record["event"] == event][number]


def test_the_whole_is_read(tmp_path, formatted):
    assert refusal(written(tmp_path / "journal.jsonl", RECORDS, formatted)) is None


@pytest.mark.parametrize("damage", DAMAGES)
def test_with_numbers_no_such_damage_is_overlooked(tmp_path, damage):
    for place in PLACES:
        path = written(tmp_path / "journal.jsonl", DAMAGES[damage](place), 2)
        line = place + 2 if damage == "doubled" else place + 1
        assert f"line {line}: is number" in refusal(path), place


@pytest.mark.parametrize("damage", DAMAGES)
def test_without_numbers_what_cannot_be_is_refused_and_nothing_else_goes_wrong(tmp_path, damage):
    refused = {}
    for place in PLACES:
        refused[place] = refusal(written(tmp_path / "journal.jsonl", DAMAGES[damage](place), 1)) is not None
    must = {
        "missing": [place for place in PLACES if RECORDS[place]["event"] in ("run", "order")][:-2],  # their ends came
        "doubled": list(PLACES),
        "swapped": [0, *(i for i in PLACES if RECORDS[i].get("group", -1) == RECORDS[i + 1].get("group", -2))],
    }[damage]
    assert must and all(refused[place] for place in must), [place for place in must if not refused[place]]


def changed(place, **content):
    return [*RECORDS[:place], {**RECORDS[place], **content}, *RECORDS[place + 1 :]]


ORDER, TELL, ASK = (place_of(event, 2) for event in ("order", "tell", "ask"))
SECOND = place_of("order", 1)  # to group 1, while group 0 is at the first
CHANGES = {
    "an order for another": (changed(ORDER, member_id=99), ORDER, "nobody of that id"),
    "an order to another group": (changed(ORDER, group=7), ORDER, "no such group"),
    "an order to a group that has one": (changed(SECOND, group=0), SECOND, "though it has one"),
    "told of another": (
        changed(TELL, evaluation={**RECORDS[TELL]["evaluation"], "member_id": 0}),
        TELL,
        "hands in member 0, which it was not given",
    ),
    "asked for another": (changed(ASK, member={**RECORDS[ASK]["member"], "id": 1}), ASK, "member 1 is asked for twice"),
    "a word for a number": (changed(ORDER, member_id="2"), ORDER, "Expected `int`, got `str` - at `$.member_id`"),
    "a number for a word": (changed(ORDER, event=3), ORDER, "Expected `str`, got `int` - at `$.event`"),
    "no such event": (changed(ORDER, event="ordered"), ORDER, "unknown event 'ordered'"),
    "no such task": (changed(ORDER, task="tell"), ORDER, "Invalid enum value 'tell' - at `$.task`"),
    "no evaluation": (changed(TELL, evaluation=None), TELL, "Expected `object`, got `null` - at `$.evaluation`"),
    "no such status": (
        changed(TELL, evaluation={**RECORDS[TELL]["evaluation"], "status": "fine"}),
        TELL,
        "Invalid enum value 'fine' - at `$.evaluation.status`",
    ),
    "begun twice": (changed(ORDER, **RECORDS[0]), ORDER, "the run is begun twice"),
    "resumed before it was begun": (changed(0, event="resume"), 0, "a run is resumed that was not begun"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_with_the_right_checksum_is_refused_where_it_cannot_be(tmp_path, formatted, change):
    records, place, complaint = CHANGES[change]
    path = written(tmp_path / "journal.jsonl", records, formatted, renumbered=True)
    assert f"line {place + 1}: " in refusal(path) and complaint in refusal(path)


def test_a_line_without_a_number_behind_one_with_is_refused(tmp_path):
    path = written(tmp_path / "journal.jsonl", RECORDS, 2)
    numbered = path.read_bytes().splitlines(keepends=True)
    plain = written(tmp_path / "1.jsonl", RECORDS, 1).read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*plain[:3], *numbered[3:]]))
    assert refusal(path) is None, "format 2 goes on behind format 1"
    path.write_bytes(b"".join([*plain[:3], *numbered[3:6], *plain[6:]]))
    assert "line 7: has no number, and 7 is due here" in refusal(path)
