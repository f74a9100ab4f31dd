"""A run folder is as it was left."""

import pytest

from nestedga.errors import SettingError
from nestedga.record.events import RunEnded, RunResumed
from nestedga.record.journal import Journal
from nestedga.record.run_folder import PartFolder, RunFolder
from tests.record.starts import start


def begun(folder, *events):
    """A folder with a file of settings, and the journal of these events."""
    folder.path.mkdir(exist_ok=True)
    folder.config.write_text("seed: 0\n")
    book = Journal(folder.journal)
    for event in events:
        book.record(event)
    book.close()
    return folder


def test_settings_that_were_changed_since_are_refused_in_one_line(tmp_path):
    folder = RunFolder(tmp_path)
    begun(folder)
    begun(folder, start(config_digest=folder.config_digest))
    folder.check_untouched()
    folder.config.write_text("seed: 1\n")
    folder.config.unlink()
    with pytest.raises(SettingError, match=r"config\.yaml is missing"):
        folder.check_untouched()
    folder.config.write_text("seed: 1\n")
    # A start that was let pass does not make them right.
    begun_again = Journal(folder.journal)
    begun_again.record(start(RunResumed, config_digest=folder.config_digest))
    begun_again.close()
    with pytest.raises(
        SettingError, match=r"config\.yaml is missing, or was changed since the run was begun .*restore the file"
    ) as said:
        folder.check_untouched()
    assert "\n" not in str(said.value)


def test_of_a_run_of_format_1_nobody_knows(tmp_path):
    folder = begun(RunFolder(tmp_path), start(format=1))
    folder.config.write_text("seed: 1\n")
    folder.check_untouched()
    begun(folder, start(RunResumed, config_digest=folder.config_digest))
    folder.config.write_text("seed: 2\n")
    with pytest.raises(SettingError, match=r"config\.yaml is missing, or was changed"):
        folder.check_untouched()


def test_each_part_of_the_world_has_settings_of_its_own(tmp_path):
    run = RunFolder(tmp_path)
    parts = [begun(PartFolder(run, number)) for number in range(2)]
    for part in parts:
        begun(part, start(part=part.number, config_digest=part.config_digest))
    run.check_untouched()
    parts[1].config.write_text("seed: 1\n")
    with pytest.raises(SettingError, match=r"part_1/config\.yaml is missing, or was changed"):
        run.check_untouched()


@pytest.mark.parametrize(("status", "complete"), [("complete", True), ("max_seconds", False), ("failed", False)])
def test_it_is_complete_when_the_run_came_to_its_own_end(tmp_path, status, complete):
    folder = begun(RunFolder(tmp_path), start(), RunEnded(status, (), {}))
    assert folder.has_run and folder.is_complete == complete
