"""Sections with a target become objects; whose mistake it is, is told apart."""

import pytest

from nestedga.errors import SettingError
from nestedga.job.build import build


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
