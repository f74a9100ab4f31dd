"""A configuration is composed, typed and told in one line where it cannot be."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from nestedga.errors import SettingError
from nestedga.job.composition import CONF
from nestedga.job.configuration import Configuration
from nestedga.job.gene_checks import check_genes
from nestedga.job.genotype import make_configure
from nestedga.population.genes import gene_from_config
from nestedga.population.space import Space

GROUPS = [(path.parent.name, path.stem) for path in sorted(CONF.glob("*/*.yaml")) if path.parent.name != "experiment"]


@pytest.mark.parametrize(("group", "option"), GROUPS)
def test_every_option_composes(group, option):
    Configuration([f"{group}={option}"])


def test_a_users_folder_of_configs_is_searched(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("_target_: torch.nn.Identity\n")
    assert Configuration(["model=mine"], str(tmp_path)).plain()["model"] == {"_target_": "torch.nn.Identity"}
    gene = gene_from_config("model", {"type": "categorical", "choices": ["mine", "small_cnn"]})
    configuration = Configuration([], str(tmp_path))
    check_genes(configuration, Space((gene,)), ("model",))
    assert make_configure(configuration, Space((gene,)))({"model": "mine"})["model"]["_target_"] == "torch.nn.Identity"
    with pytest.raises(SettingError, match="is not a folder"):
        Configuration([], str(tmp_path / "nowhere"))


def test_conf_lies_where_the_package_looks_for_it():
    assert (Path(CONF) / "config.yaml").exists()
    OmegaConf.load(CONF / "config.yaml")


def test_a_setting_that_has_to_be_given_is_named():
    with pytest.raises(SettingError, match=r"must be given is still \?\?\?: .*`\$\.run\.max_seconds`") as caught:
        Configuration(["run.max_seconds=???"])
    assert "\n" not in str(caught.value)


def test_a_setting_of_ones_own_may_stand_for_others():
    settings = Configuration(["+mine=3", "model.width=${mine}"]).settings
    assert settings.model["width"] == 3 and not hasattr(settings, "mine")
