"""A run goes on with the settings it was begun with, whatever they were called then."""

import pytest
import yaml

from nestedga.errors import SettingError
from nestedga.job.configuration import Configuration
from nestedga.job.resume import check_same
from nestedga.record.run_folder import RunFolder

OVERRIDES = ("search=genetic", "space=sgd", "data=digits")


@pytest.fixture
def begun(tmp_path):
    """Keeps the settings of a run, after a change to them; gives its folder."""

    def keep(change=lambda settings: None):
        settings = Configuration(OVERRIDES).plain()
        change(settings)
        folder = RunFolder(tmp_path)
        folder.config.write_text(yaml.safe_dump(settings))
        return folder

    return keep


def as_in_the_first_version(settings):
    settings["search"]["_target_"] = "nestedga.search.genetic.Genetic"
    settings["schedule"]["_target_"] = "nestedga.training.schedules.Constant"
    del settings["training"]["collectives"]
    del settings["search"]["demes"], settings["search"]["sigma"]  # as if a later version had brought them


def test_a_run_of_the_first_version_may_go_on(begun):
    folder = begun(as_in_the_first_version)
    check_same(Configuration([*OVERRIDES, "run.max_seconds=9", "groups.remainder=refuse"]).plain(), folder)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("seed=3", "seed=3 differs from 0"),
        ("training.collectives=other", "training.collectives=other differs from horovod"),
        ("search.demes=2", "search.demes=2 differs from 1"),
        ("search.population_size=6", "search.population_size=6 differs from"),
        ("search=pbt", "search._target_=nestedga.search.pbt.pbt.PBT differs from nestedga.search.genetic.Genetic"),
        ("+model.hidden=3", "model.hidden=3 differs from None"),
        ("+mine=3", "mine=3 differs from None"),
        ("~space.optimizer.lr", "space.optimizer.lr.high=None differs from"),
    ],
)
def test_what_changes_results_must_not_differ(begun, override, says):
    folder = begun(as_in_the_first_version)
    with pytest.raises(SettingError) as caught:
        check_same(Configuration([*OVERRIDES, override]).plain(), folder)
    assert says in str(caught.value) and "or begin a new run" in str(caught.value) and "\n" not in str(caught.value)


def test_a_target_that_is_gone_differs(begun):
    folder = begun(lambda settings: settings["model"].update(_target_="models.that.are.Gone"))
    with pytest.raises(SettingError, match=r"model\._target_=.* differs from models\.that\.are\.Gone"):
        check_same(Configuration(OVERRIDES).plain(), folder)
