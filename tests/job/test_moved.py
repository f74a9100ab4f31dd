"""What version 0.1 called things: every name that its documentation, configuration and users had works on."""

import importlib
import importlib.util
import re
import subprocess
import sys

import pytest

from nestedga.job.build import same_target
from nestedga.job.moved import MOVED
from tests.conftest import REPOSITORY, environment

# Every _target_ of ours in the conf/ of 0.1, by module.
TARGETS = {
    "evaluators.command": "CommandEvaluator",
    "evaluators.function": "FunctionEvaluator",
    "evaluators.training": "TrainingEvaluator",
    "schedule": "replay",
    "search.agebo": "AgEBO",
    "search.cma_es": "CmaEs",
    "search.fire": "FIRE",
    "search.genetic": "Genetic",
    "search.grid": "Grid IterativeGrid",
    "search.model_based": "ModelBased",
    "search.multiple_frequencies": "MultipleFrequencies",
    "search.optuna_search": "OptunaSearch",
    "search.pb2": "PB2",
    "search.pbt": "AsynchronousPBT PBT",
    "search.rungs": "MedianStopping SuccessiveHalving",
    "search.sampling": "Sampling",
    "search.steady_state": "SteadyState",
    "search.trust_region": "TrustRegion",
    "training.data.cifar10": "Cifar10",
    "training.data.digits": "Digits",
    "training.data.idx": "Idx",
    "training.data.image_folder": "ImageFolder",
    "training.data.image_records": "ImageRecords",
    "training.data.npz": "Npz",
    "training.data.series": "Series",
    "training.data.synthetic": "Synthetic",
    "training.data.text": "Text",
    "training.models.autoregressive": "AutoRegression",
    "training.models.recurrent": "CharacterRNN Forecaster",
    "training.models.resnet": "ResNet",
    "training.models.small_cnn": "SmallCNN",
    "training.models.transformer": "CharacterTransformer",
    "training.schedules": "Constant Cosine OneCycle Step",
    "training.tasks.classification": "Classification",
    "training.tasks.forecasting": "Forecasting",
    "training.tasks.language_model": "LanguageModel",
}
# What users of 0.1 import: named in its documentation, or seen in scripts.
IMPORTED = {
    "configspace": "from_configspace to_configspace",
    "evaluators.base": "Evaluator Result",
    "journal": "read",
    "optuna_sampler": "NestedgaSampler",
    "search.base": "Asynchronous Birth Generational Search",
    "search.genetic": "Genetic",
    "search.operators": "mutate",
    "states.state": "State",
    "training.data.base": "Dataset",
    "training.task": "Task",
}
STARTED = ["nestedga", "nestedga.configspace", "nestedga.doctor", "nestedga.simulate", "nestedga.watch"]  # python -m
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


def paths(names):
    return [f"nestedga.{module}.{name}" for module in names for name in names[module].split()]


def check_named(path):
    """A dotted path names a module, or something in one."""
    module, _, name = path.rpartition(".")
    assert hasattr(importlib.import_module(module), name) or importlib.import_module(path)


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_an_old_name_gives_the_module_itself(old, new):
    module = importlib.import_module(old)
    assert module is importlib.import_module(new) and module.__name__ == module.__spec__.name == new
    parent, _, child = old.rpartition(".")
    assert getattr(importlib.import_module(parent), child) is module


@pytest.mark.parametrize("path", [*paths(TARGETS), *paths(IMPORTED)])
def test_what_had_a_name_in_the_first_version_has_it_still(path):
    check_named(path)


@pytest.mark.parametrize("target", paths(TARGETS))
def test_an_old_target_is_the_same_as_the_one_that_is_configured_now(target):
    conf = " ".join(path.read_text() for path in (REPOSITORY / "conf").rglob("*.yaml"))
    today = {word for word in re.findall(r"_target_: (\S+)", conf) if word.endswith(f".{target.rpartition('.')[2]}")}
    assert today and all(same_target(target, path) for path in today)


def test_targets_that_name_other_things_or_nothing_differ():
    assert not same_target("nestedga.search.pbt.PBT", "nestedga.search.pbt.AsynchronousPBT")
    assert not same_target("nestedga.search.nowhere.PBT", "nestedga.search.nowhere.PBT")


@pytest.mark.parametrize("module", STARTED)
def test_what_a_person_starts_is_found(module):
    spec = importlib.util.find_spec(module)
    if spec.submodule_search_locations:  # a package
        spec = importlib.util.find_spec(f"{module}.__main__")
    assert spec is not None


def test_an_old_name_can_be_started():
    command = [sys.executable, "-m", "nestedga.configspace", "--help"]
    answer = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120, check=False)
    assert answer.returncode == 0 and "ConfigSpace" in answer.stdout, answer.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_what_the_documentation_imports_and_starts_is_there(page):
    text = page.read_text()
    for module, names in re.findall(r"^ *from (nestedga[\w.]*) import ([\w, ]+)$", text, re.MULTILINE):
        for name in names.replace(" ", "").split(","):
            check_named(f"{module}.{name}")
    for module in re.findall(r"^ *import (nestedga[\w.]*)|python -m (nestedga[\w.]*\w)", text, re.MULTILINE):
        assert importlib.util.find_spec("".join(module)) is not None, module
