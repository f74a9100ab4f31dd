"""Sections with a target become objects; whose mistake it is, is told apart."""

import pytest

from nestedga.errors import SettingError
from nestedga.job.build import build, default_of


def test_faults_of_a_constructor_are_not_taken_for_settings():
    with pytest.raises(ZeroDivisionError):
        build({"_target_": "tests.job.test_build.broken"})
    with pytest.raises(TypeError, match="from inside"):
        build({"_target_": "tests.job.test_build.broken", "kind": "type"})
    with pytest.raises(SettingError, match="it takes kind"):
        build({"_target_": "tests.job.test_build.broken", "kinds": "type"})


def broken(kind="zero"):
    if kind == "type":
        raise TypeError("from inside")
    return 1 / 0


def test_what_a_target_takes_where_nothing_is_given_is_as_a_file_would_say():
    target = "tests.job.test_build.settings"
    assert default_of(target, "sizes") == [1, 2] and default_of(target, "name") == "x"
    assert default_of(target, "needed") is default_of(target, "unknown") is default_of("no.such.target", "name") is None


def settings(needed, name="x", sizes=(1, 2)):
    """Takes what it takes."""
