"""Genes become settings, and nothing else changes."""

import pytest

from nestedga.job.configuration import Configuration
from nestedga.job.gene_checks import check_genes
from nestedga.job.genotype import make_configure
from nestedga.population.genes import gene_from_config
from nestedga.population.space import Space
from nestedga.population.values import overrides as typed_overrides


def test_a_genotype_is_applied_and_nothing_else_changes():
    configuration = Configuration(["data=digits"])
    space = Space.from_config(configuration.settings.space)
    settings = make_configure(configuration, space)(
        {"optimizer.lr": 0.123, "optimizer.momentum": 0.5, "optimizer.weight_decay": 0.0}
    )
    expected = configuration.plain()
    expected["optimizer"].update(lr=0.123, momentum=0.5, weight_decay=0.0)
    assert settings == expected


def test_a_config_group_can_be_a_gene():
    configuration = Configuration(["data=synthetic", "model=resnet20", "space=none", "groups.group_size=2"])
    gene = gene_from_config("model", {"type": "categorical", "choices": ["resnet20", "resnet32"]})
    width = gene_from_config("model.width", {"type": "int", "low": 8, "high": 32})
    space = Space((gene, width))
    check_genes(configuration, space, ("data", "model", "optimizer"))
    settings = make_configure(configuration, space)({"model": "resnet32", "model.width": 9})
    assert settings["model"]["depth"] == 32 and settings["model"]["width"] == 9
    assert settings["data"]["micro_batches"] == 2


def test_conditions_can_be_typed_and_hang_on_a_config_group():
    configuration = Configuration(
        [
            "data=synthetic",
            "space=none",
            "+space.model={type: categorical, choices: [resnet20, small_cnn]}",
            "+space.model.width={type: int, low: 8, high: 32, when: {model: resnet20}}",
            "+space.optimizer.momentum={type: float, low: 0, high: 0.9}",
            "+space.optimizer.nesterov={type: bool}",
            "+space.optimizer.nesterov.when.model=[resnet20]",
            "+space.optimizer.lr={type: float, low: 0, high: 1, when: {optimizer.nesterov: true}}",
        ]
    )
    space = Space.from_config(configuration.settings.space)
    assert space.conditions == {
        "model.width": (("model", ("resnet20",)),),
        "optimizer.lr": (("optimizer.nesterov", (True,)),),
        "optimizer.nesterov": (("model", ("resnet20",)),),
    }
    check_genes(configuration, space, ("data", "model", "optimizer"))
    configure = make_configure(configuration, space)
    genotype = {"model": "small_cnn", "optimizer.momentum": 0.5}
    assert space.contains(genotype)
    settings = configure(genotype)
    assert settings["model"] == Configuration(["model=small_cnn"]).plain()["model"]
    assert settings["optimizer"]["lr"] == configuration.plain()["optimizer"]["lr"]  # not active: as configured
    wide = {"model": "resnet20", "model.width": 9, "optimizer.momentum": 0.5, "optimizer.nesterov": False}
    assert space.contains(wide) and configure(wide)["model"]["width"] == 9


def test_a_gene_of_a_config_group_that_is_not_active_leaves_the_group_as_configured():
    configuration = Configuration(["data=synthetic", "model=resnet32", "space=none"])
    model = gene_from_config("model", {"type": "categorical", "choices": ["resnet20"]})
    momentum = gene_from_config("optimizer.nesterov", {"type": "bool"})
    space = Space((model, momentum), {"model": (("optimizer.nesterov", (True,)),)})
    check_genes(configuration, space, ("data", "model", "optimizer"))
    configure = make_configure(configuration, space)
    assert configure({"optimizer.nesterov": False})["model"]["depth"] == 32
    assert configure({"optimizer.nesterov": True, "model": "resnet20"})["model"]["depth"] == 20


def test_what_a_genotype_gives_can_be_typed_as_overrides():
    configuration = Configuration([])
    genotype = {"optimizer.lr": 0.1 + 0.2, "optimizer.nesterov": True, "model.width": 7}
    space = Space(
        (
            gene_from_config("optimizer.lr", {"type": "float", "low": 0, "high": 1}),
            gene_from_config("optimizer.nesterov", {"type": "bool"}),
            gene_from_config("model.width", {"type": "int", "low": 1, "high": 9}),
        )
    )
    typed = Configuration([f"{path}={value}" for path, value in genotype.items()])
    assert typed.plain() == make_configure(configuration, space)(genotype)


def test_a_setting_that_is_derived_from_a_gene_follows_it():
    overrides = ("+space.data.batch_size={type: int, low: 8, high: 64}", "data.micro_batches=${data.batch_size}")
    configuration = Configuration(overrides)
    settings = make_configure(configuration, Space.from_config(configuration.settings.space))({"data.batch_size": 12})
    assert settings["data"]["batch_size"] == settings["data"]["micro_batches"] == 12


def test_genes_are_written_alike_fast_and_slowly(monkeypatch):
    configuration = Configuration(("+experiment=digits_pbt",))
    space = Space.from_config(configuration.settings.space)
    genotype = dict.fromkeys(space.paths, 0.125)
    fast = make_configure(configuration, space)(genotype)
    monkeypatch.setattr("nestedga.job.genotype._derived", lambda configuration, genes: True)
    assert fast == make_configure(configuration, space)(genotype) != configuration.plain()


STRUCTURED = {
    "optimizer.betas": {"type": "categorical", "choices": [[0.9, 0.999], [0.95, 0.98]]},
    "data.augment": {"type": "ordinal", "choices": [{"pad": 0}, {"pad": 1, "mirror": False}]},
}


@pytest.mark.parametrize("slowly", [False, True])
def test_a_list_or_a_mapping_is_set_whole_and_stays_as_it_is(monkeypatch, slowly):
    configuration, space = Configuration(["optimizer=adamw"]), Space.from_config(STRUCTURED)
    check_genes(configuration, space, ("data", "optimizer"))
    if slowly:
        monkeypatch.setattr("nestedga.job.genotype._derived", lambda configuration, genes: True)
    genotype = {path: gene["choices"][1] for path, gene in STRUCTURED.items()}
    settings = make_configure(configuration, space)(genotype)
    assert settings["optimizer"]["betas"] == [0.95, 0.98] and settings["data"]["augment"] == {"pad": 1, "mirror": False}
    again = Configuration(["optimizer=adamw", *typed_overrides(genotype)])
    assert again.plain() == settings
    settings["optimizer"]["betas"][0] = settings["data"]["augment"]["pad"] = 99
    assert space.contains(genotype)
