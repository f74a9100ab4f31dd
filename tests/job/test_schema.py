"""Settings are typed all the way; to know them takes no torch, no MPI and no Hydra."""

import dataclasses
import pickle
import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from nestedga.errors import SettingError
from nestedga.job.composition import CONF
from nestedga.job.configuration import Configuration
from nestedga.job.schema import IntervalConfig, RunConfig, Schema


def test_the_settings_are_the_plain_ones_typed():
    configuration = Configuration(["run.max_seconds=5", "groups.sizes=[2,1]", "objective.name=[a,b]", "+mine=3"])
    settings = configuration.settings
    assert settings.run == RunConfig(max_seconds=5.0) and isinstance(settings.run.max_seconds, float)
    assert {**dataclasses.asdict(settings), "mine": 3} == configuration.plain()
    assert pickle.loads(pickle.dumps(settings)) == settings  # as the process of a slow search gets them


def test_nobody_changes_a_setting():
    settings = Configuration([]).settings
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.seed = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.run.dir = "elsewhere"


def test_defaults_here_and_in_the_file_are_the_same():
    given = OmegaConf.to_container(OmegaConf.load(CONF / "config.yaml"))
    for name, section in dataclasses.asdict(Schema()).items():
        if name != "interval" and section != {}:  # an interval's default is one epoch, so that steps alone can be given
            assert given[name] == section, name


def test_an_interval_has_one_unit():
    assert IntervalConfig(epochs=3).length() == ("epochs", 3)
    assert IntervalConfig(steps=7).length() == ("steps", 7)
    for wrong, says in {
        IntervalConfig(): "give epochs or steps, not neither; set the other to null",
        IntervalConfig(1, 1): "give epochs or steps, not epochs and steps; set the other to null",
        IntervalConfig(epochs=0): "interval.epochs=0 trains nothing; use 1 or more",
    }.items():
        with pytest.raises(SettingError, match=says):
            wrong.length()


def test_durations_leave_time():
    RunConfig(max_seconds=0.1).check()
    with pytest.raises(SettingError, match=r"^run\.max_seconds=0 must be above 0$"):
        RunConfig(max_seconds=0.0).check()
    with pytest.raises(SettingError, match=r"^run\.stall_seconds=-2 must be above 0$"):
        RunConfig(stall_seconds=-2.0).check()


def test_the_schema_is_cheap_to_know():
    code = "import sys, nestedga.job.schema; print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert not {"torch", "mpi4py", "hydra", "omegaconf"} & set(answer.stdout.split())
