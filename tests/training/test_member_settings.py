"""A member's settings are typed where the configuration is; a gene of another type is one clear error."""

import pytest

from nestedga.errors import SettingError
from nestedga.job.configuration import Configuration
from nestedga.training.member_settings import MemberSettings
from nestedga.training.settings import RecipeConfig, TrainingConfig


def with_gene(section, key, value):
    settings = Configuration([]).plain()
    settings[section][key] = value
    return MemberSettings.from_config(settings)


def test_each_section_is_what_the_configuration_has():
    plain = Configuration(["recipe.ema=0.9", "training.threads=2", "groups.resplit=spare"]).plain()
    settings = MemberSettings.from_config(plain)
    assert settings.recipe == RecipeConfig(ema=0.9) and settings.training == TrainingConfig(threads=2)
    assert settings.resplit == "spare"
    for name in ("data", "model", "optimizer", "schedule", "task"):
        assert getattr(settings, name) is plain[name]


def test_strengths_are_those_of_augmentation():
    assert with_gene("data", "augment", {"pad": 1}).strengths == {"pad": 1}
    assert with_gene("data", "augment", None).strengths == {}


@pytest.mark.parametrize(("key", "value"), [("ema", 1), ("clip_norm", 2.5), ("decay_norms", False), ("ema", None)])
def test_a_gene_stands_in_the_recipe(key, value):
    assert getattr(with_gene("recipe", key, value).recipe, key) == value


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("ema", "0.9", "recipe.ema='0.9' has the wrong type: Expected `float | null`, got `str`"),
        ("base_batch_size", 128.5, "recipe.base_batch_size=128.5 has the wrong type: Expected `int`, got `float`"),
        ("decay_norms", 1, "recipe.decay_norms=1 has the wrong type: Expected `bool`, got `int`"),
        ("lr_scaling", None, "recipe.lr_scaling=None has the wrong type: Expected `str`, got `null`"),
    ],
)
def test_a_gene_of_another_type_is_named(key, value, reason):
    with pytest.raises(SettingError) as caught:
        with_gene("recipe", key, value)
    assert str(caught.value) == reason
