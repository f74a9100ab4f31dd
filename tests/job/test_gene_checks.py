"""Genes that no member would notice are named."""

import pytest

from nestedga.errors import SettingError
from nestedga.job.configuration import Configuration
from nestedga.job.gene_checks import check_genes
from nestedga.population.genes import gene_from_config
from nestedga.population.space import Space


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({}, "with model=small_cnn there is no setting model.depth; .*space.model.depth.when.model="),
        ({"model.depth": (("model", ("resnet20",)),)}, None),
        ({"model.depth": (("optimizer.nesterov", (True,)),)}, "with model=small_cnn"),
        (
            {"model.depth": (("optimizer.nesterov", (True,)),), "optimizer.nesterov": (("model", ("resnet20",)),)},
            None,
        ),
    ],
    ids=["always", "when", "another", "chain"],
)
def test_a_gene_that_some_choice_of_its_group_lacks_is_named(conditions, message):
    configuration = Configuration(["data=synthetic", "space=none"])  # the model is small_cnn unless chosen
    genes = {
        "model": {"type": "categorical", "choices": ["resnet20", "small_cnn"]},
        "model.depth": {"type": "ordinal", "choices": [20, 32]},
        "optimizer.nesterov": {"type": "bool"},
    }
    space = Space(tuple(gene_from_config(path, spec) for path, spec in genes.items()), conditions)
    if message is None:
        check_genes(configuration, space, ("data", "model", "optimizer"))
    else:
        with pytest.raises(SettingError, match=message) as caught:
            check_genes(configuration, space, ("data", "model", "optimizer"))
        assert "\n" not in str(caught.value)


def test_a_gene_nobody_would_notice_names_where_genes_may_lie():
    configuration = Configuration([])
    space = Space((gene_from_config("run.max_seconds", {"type": "float", "low": 1, "high": 2}),))
    with pytest.raises(SettingError, match=r"data\.\*, model\.\*, optimizer\.\*"):
        check_genes(configuration, space, ("data", "model", "optimizer"))


def test_a_mapping_needs_a_section_and_a_section_a_mapping():
    configuration = Configuration(["optimizer=adamw"])
    for path, choices in (("data.augment", [1, 2]), ("data.augmint", [{"pad": 1}]), ("data.augment", [1, {"pad": 1}])):
        space = Space.from_config({path: {"type": "categorical", "choices": choices}})
        with pytest.raises(SettingError, match=f"there is no setting {path}; the nearest is data.augment"):
            check_genes(configuration, space, ("data",))
    space = Space.from_config({"optimizer": {"type": "categorical", "choices": ["sgd", {"lr": 0.1}]}})
    with pytest.raises(SettingError, match="choices names {'lr': 0.1}; conf/optimizer/ has adamw"):
        check_genes(configuration, space, ("optimizer",))
