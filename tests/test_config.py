"""Every experiment composes; genes become settings; Hydra's errors become one line."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from nestedga.config import CONF, Configuration, build, jobs_of
from nestedga.errors import SettingError
from nestedga.plan import make_plan
from nestedga.space import Space, gene_from_config

EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
GROUPS = [(path.parent.name, path.stem) for path in sorted(CONF.glob("*/*.yaml")) if path.parent.name != "experiment"]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_begins_with_its_command(experiment):
    text = (CONF / "experiment" / f"{experiment}.yaml").read_text()
    assert f"python -m nestedga +experiment={experiment}" in text.splitlines()[1]
    configuration = Configuration([f"+experiment={experiment}"])
    assert configuration.experiment == experiment
    plan = make_plan(configuration, world_size=64)
    assert sum(plan.layout.sizes) == 64 and len(plan.space) > 0
    assert plan.search.ask(1)[0].budget == plan.budget


@pytest.mark.parametrize(("group", "option"), GROUPS)
def test_every_option_composes(group, option):
    Configuration([f"{group}={option}"])


def test_a_genotype_is_applied_and_nothing_else_changes():
    configuration = Configuration(["data=digits"])
    space = Space.from_config(configuration.plain()["space"])
    settings = configuration.with_genotype(space)(
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
    configuration.check_genes(space, ("data", "model", "optimizer"))
    settings = configuration.with_genotype(space)({"model": "resnet32", "model.width": 9})
    assert settings["model"]["depth"] == 32 and settings["model"]["width"] == 9
    assert settings["data"]["micro_batches"] == 2


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
    assert typed.plain() == configuration.with_genotype(space)(genotype)


def test_multirun_is_the_product_of_all_sweeps():
    jobs = jobs_of(["search=pbt,genetic", "seed=range(1,3)", "interval.epochs=1"], multirun=True)
    assert [(job[0], job[1]) for job in jobs] == [
        ("search=pbt", "seed=1"),
        ("search=pbt", "seed=2"),
        ("search=genetic", "seed=1"),
        ("search=genetic", "seed=2"),
    ]


def test_a_users_folder_of_configs_is_searched(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("_target_: torch.nn.Identity\n")
    assert Configuration(["model=mine"], str(tmp_path)).plain()["model"] == {"_target_": "torch.nn.Identity"}
    gene = gene_from_config("model", {"type": "categorical", "choices": ["mine", "small_cnn"]})
    configuration = Configuration([], str(tmp_path))
    configuration.check_genes(Space((gene,)), ("model",))
    assert configuration.with_genotype(Space((gene,)))({"model": "mine"})["model"]["_target_"] == "torch.nn.Identity"
    with pytest.raises(SettingError, match="is not a folder"):
        Configuration([], str(tmp_path / "nowhere"))


def test_a_gene_nobody_would_notice_names_where_genes_may_lie():
    configuration = Configuration([])
    space = Space((gene_from_config("run.max_seconds", {"type": "float", "low": 1, "high": 2}),))
    with pytest.raises(SettingError, match=r"data\.\*, model\.\*, optimizer\.\*"):
        configuration.check_genes(space, ("data", "model", "optimizer"))


def test_faults_of_a_constructor_are_not_taken_for_settings():
    with pytest.raises(ZeroDivisionError):
        build({"_target_": "tests.test_config.broken"})
    with pytest.raises(TypeError, match="from inside"):
        build({"_target_": "tests.test_config.broken", "kind": "type"})
    with pytest.raises(SettingError, match="it takes kind"):
        build({"_target_": "tests.test_config.broken", "kinds": "type"})


def broken(kind="zero"):
    if kind == "type":
        raise TypeError("from inside")
    return 1 / 0


def test_conf_lies_where_the_package_looks_for_it():
    assert (Path(CONF) / "config.yaml").exists()
    OmegaConf.load(CONF / "config.yaml")
