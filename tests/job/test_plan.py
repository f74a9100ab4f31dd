"""What every rank derives alike; every experiment can be planned."""

import pytest

from nestedga.errors import SettingError
from nestedga.job.composition import CONF
from nestedga.job.configuration import Configuration
from nestedga.job.plan import make_plan, make_search
from nestedga.population.values import typed
from tests.job.test_genotype import STRUCTURED

EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_begins_with_its_command(experiment):
    text = (CONF / "experiment" / f"{experiment}.yaml").read_text()
    assert f"python -m nestedga +experiment={experiment}" in text.splitlines()[1]
    configuration = Configuration([f"+experiment={experiment}"])
    assert configuration.experiment == experiment
    plan = make_plan(configuration, world_size=64)
    assert sum(plan.layout.sizes) == 64 and len(plan.space) > 0
    assert plan.search.ask(1)[0].budget >= plan.budget  # a written schedule may have longer intervals


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


def test_the_founder_may_be_the_configuration_itself():
    settings = Configuration(["search=genetic", "search.founder=configured", "optimizer.lr=0.2"]).settings
    (founder,) = make_search(settings).ask(1)
    assert founder.genotype == {path: settings.optimizer[path.split(".")[1]] for path in founder.genotype}
    assert founder.genotype["optimizer.lr"] == 0.2


def test_the_founder_has_the_lists_and_sections_of_the_configuration():
    genes = [f"+space.{path}={typed(gene)}" for path, gene in STRUCTURED.items()]
    given = ["search=genetic", "search.founder=configured", "optimizer=adamw", "space=none", *genes]
    with pytest.raises(SettingError, match="search.founder=.* lacks data.augment"):
        make_search(Configuration(given).settings)
    (founder,) = make_search(Configuration([*given, "data.augment=null", "data.augment={pad: 0}"]).settings).ask(1)
    assert founder.genotype == {"optimizer.betas": [0.9, 0.999], "data.augment": {"pad": 0}}
