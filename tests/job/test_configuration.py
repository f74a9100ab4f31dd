"""Every experiment composes; genes become settings; Hydra's errors become one line."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from nestedga.errors import SettingError
from nestedga.job.configuration import CONF, Configuration, build, jobs_of
from nestedga.job.plan import make_plan, make_search
from nestedga.population.space import Space, gene_from_config
from nestedga.population.values import overrides, typed

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
    assert plan.search.ask(1)[0].budget >= plan.budget  # a written schedule may have longer intervals


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
    space = Space.from_config(configuration.plain()["space"])
    assert space.conditions == {
        "model.width": (("model", ("resnet20",)),),
        "optimizer.lr": (("optimizer.nesterov", (True,)),),
        "optimizer.nesterov": (("model", ("resnet20",)),),
    }
    configuration.check_genes(space, ("data", "model", "optimizer"))
    configure = configuration.with_genotype(space)
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
    configuration.check_genes(space, ("data", "model", "optimizer"))
    assert configuration.with_genotype(space)({"optimizer.nesterov": False})["model"]["depth"] == 32
    assert configuration.with_genotype(space)({"optimizer.nesterov": True, "model": "resnet20"})["model"]["depth"] == 20


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
        configuration.check_genes(space, ("data", "model", "optimizer"))
    else:
        with pytest.raises(SettingError, match=message) as caught:
            configuration.check_genes(space, ("data", "model", "optimizer"))
        assert "\n" not in str(caught.value)


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
    again = Configuration(overrides(genotype))
    assert again.plain() == configuration.with_genotype(space)(genotype)


STRUCTURED = {
    "optimizer.betas": {"type": "categorical", "choices": [[0.9, 0.999], [0.95, 0.98]]},
    "data.augment": {"type": "ordinal", "choices": [{"pad": 0}, {"pad": 1, "mirror": False}]},
}


@pytest.mark.parametrize("slowly", [False, True])
def test_a_list_or_a_mapping_is_set_whole_and_stays_as_it_is(monkeypatch, slowly):
    configuration, space = Configuration(["optimizer=adamw"]), Space.from_config(STRUCTURED)
    configuration.check_genes(space, ("data", "optimizer"))
    if slowly:
        monkeypatch.setattr(Configuration, "_hangs_on", lambda self, genes: True)
    genotype = {path: gene["choices"][1] for path, gene in STRUCTURED.items()}
    settings = configuration.with_genotype(space)(genotype)
    assert settings["optimizer"]["betas"] == [0.95, 0.98] and settings["data"]["augment"] == {"pad": 1, "mirror": False}
    again = Configuration(["optimizer=adamw", *overrides(genotype)])
    assert again.plain() == settings
    settings["optimizer"]["betas"][0] = settings["data"]["augment"]["pad"] = 99
    assert space.contains(genotype)


def test_a_mapping_needs_a_section_and_a_section_a_mapping():
    configuration = Configuration(["optimizer=adamw"])
    for path, choices in (("data.augment", [1, 2]), ("data.augmint", [{"pad": 1}]), ("data.augment", [1, {"pad": 1}])):
        space = Space.from_config({path: {"type": "categorical", "choices": choices}})
        with pytest.raises(SettingError, match=f"there is no setting {path}; the nearest is data.augment"):
            configuration.check_genes(space, ("data",))
    space = Space.from_config({"optimizer": {"type": "categorical", "choices": ["sgd", {"lr": 0.1}]}})
    with pytest.raises(SettingError, match="choices names {'lr': 0.1}; conf/optimizer/ has adamw"):
        configuration.check_genes(space, ("optimizer",))


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


def test_any_search_can_be_put_inside_one_that_stops_early():
    inside = ["search=asha", "search@search.wrapped=pbt", "search.wrapped.population_size=7"]
    search = make_plan(Configuration(inside), world_size=1).search
    assert len({member.slot for member in search.ask(99)}) == search.population_size == 7
    with pytest.raises(SettingError, match="stops early itself"):
        make_plan(Configuration(["search=asha", "search@search.wrapped=median"]), world_size=1)
    for wrong, complaint in {
        "search.wrapped.population_size=1": r"^search\.wrapped\.population_size=1 leaves nobody",
        "+search.wrapped.colour=3": r"pbt\.PBT does not fit its settings: .*'colour'; it takes .*truncation",
        "search.wrapped=genetic": r"as in search@search\.wrapped=genetic",
        "search.wrapped._target_=nestedga.search.pbt.pbt.Nothing": r"pbt\.Nothing cannot be built",
    }.items():
        with pytest.raises(SettingError, match=complaint) as caught:
            make_plan(Configuration([*inside, wrong]), world_size=1)
        assert "\n" not in str(caught.value)


def test_faults_of_a_constructor_are_not_taken_for_settings():
    with pytest.raises(ZeroDivisionError):
        build({"_target_": "tests.job.test_configuration.broken"})
    with pytest.raises(TypeError, match="from inside"):
        build({"_target_": "tests.job.test_configuration.broken", "kind": "type"})
    with pytest.raises(SettingError, match="it takes kind"):
        build({"_target_": "tests.job.test_configuration.broken", "kinds": "type"})


def broken(kind="zero"):
    if kind == "type":
        raise TypeError("from inside")
    return 1 / 0


def test_conf_lies_where_the_package_looks_for_it():
    assert (Path(CONF) / "config.yaml").exists()
    OmegaConf.load(CONF / "config.yaml")


def test_the_founder_may_be_the_configuration_itself():
    settings = Configuration(["search=genetic", "search.founder=configured", "optimizer.lr=0.2"]).plain()
    (founder,) = make_search(settings).ask(1)
    assert founder.genotype == {path: settings["optimizer"][path.split(".")[1]] for path in founder.genotype}
    assert founder.genotype["optimizer.lr"] == 0.2


def test_the_founder_has_the_lists_and_sections_of_the_configuration():
    genes = [f"+space.{path}={typed(gene)}" for path, gene in STRUCTURED.items()]
    given = ["search=genetic", "search.founder=configured", "optimizer=adamw", "space=none", *genes]
    with pytest.raises(SettingError, match="search.founder=.* lacks data.augment"):
        make_search(Configuration(given).plain())
    (founder,) = make_search(Configuration([*given, "data.augment=null", "data.augment={pad: 0}"]).plain()).ask(1)
    assert founder.genotype == {"optimizer.betas": [0.9, 0.999], "data.augment": {"pad": 0}}


def test_a_setting_that_is_derived_from_a_gene_follows_it():
    derived = ("+space.data.batch_size={type: int, low: 8, high: 64}", "data.micro_batches=${data.batch_size}")
    configuration = Configuration(derived)
    settings = configuration.with_genotype(Space.from_config(configuration.plain()["space"]))({"data.batch_size": 12})
    assert settings["data"]["batch_size"] == settings["data"]["micro_batches"] == 12


def test_genes_are_written_alike_fast_and_slowly(monkeypatch):
    configuration = Configuration(("+experiment=digits_pbt",))
    space = Space.from_config(configuration.plain()["space"])
    genotype = dict.fromkeys(space.paths, 0.125)
    fast = configuration.with_genotype(space)(genotype)
    monkeypatch.setattr(Configuration, "_hangs_on", lambda self, genes: True)
    assert fast == configuration.with_genotype(space)(genotype) != configuration.plain()
