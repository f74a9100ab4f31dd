"""The configuration: composed by Hydra, checked, applied. Only here and in ``__main__`` Hydra is known."""

from __future__ import annotations

import argparse
import copy
import inspect
import itertools
import pickle
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from nestedga.errors import SettingError, nearest
from nestedga.population.genes import Gene
from nestedga.population.member import GeneValue, Genotype
from nestedga.population.space import Space
from nestedga.protocol.layout import largest_group

PACKAGE = Path(__file__).resolve().parents[1]
HYDRA_KEYS = ("_args_", "_convert_", "_partial_", "_recursive_")  # of a section, for hydra.utils.instantiate
CONF = PACKAGE / "conf" if (PACKAGE / "conf").exists() else PACKAGE.parent / "conf"
T = TypeVar("T")


# Types of all that is not a free section; comments and defaults stand in conf/config.yaml.


@dataclass
class RunConfig:
    """Section ``run``."""

    dir: str | None = None
    max_seconds: float | None = None
    stall_seconds: float = 1800.0


@dataclass
class GroupsConfig:
    """Section ``groups``."""

    group_size: int = 1
    remainder: str = "spread"
    sizes: list[int] | None = None
    resplit: str = "never"


@dataclass
class CoordinatorConfig:
    """Section ``coordinator``."""

    count: int = 1
    migration_interval: int | None = None
    topology: str = "ring"


@dataclass
class ObjectiveConfig:
    """Section ``objective``."""

    name: Any = "accuracy"  # a string or a list of them: nestedga/objectives.py
    mode: Any = "max"


@dataclass
class IntervalConfig:
    """Section ``interval``."""

    epochs: int | None = None
    steps: int | None = None


@dataclass
class StatesConfig:
    """Section ``states``."""

    memory_limit: Any = "50%"  # sizes: nestedga/state_limits.py
    local_dir: str | None = None
    local_limit: Any = None


@dataclass
class TrainingConfig:
    """Section ``training``."""

    threads: int = 1
    device: str = "auto"
    precision: str = "fp32"
    compression: str = "none"
    compile: bool = False
    channels_last: bool = False


@dataclass
class RecipeConfig:
    """Section ``recipe``."""

    lr_scaling: str = "none"
    base_batch_size: int = 256
    clip_norm: float | None = None
    ema: float | None = None
    decay_norms: bool = True
    sync_norm: bool = False


@dataclass
class Schema:
    """The whole configuration; sections of type dict are free, for whatever their ``_target_`` takes."""

    seed: int = 0
    resume: bool = False
    run: RunConfig = field(default_factory=RunConfig)
    groups: GroupsConfig = field(default_factory=GroupsConfig)
    coordinator: CoordinatorConfig = field(default_factory=CoordinatorConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    interval: IntervalConfig = field(default_factory=IntervalConfig)
    states: StatesConfig = field(default_factory=StatesConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    recipe: RecipeConfig = field(default_factory=RecipeConfig)
    search: dict[str, Any] = field(default_factory=dict)
    space: dict[str, Any] = field(default_factory=dict)
    evaluator: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    schedule: dict[str, Any] = field(default_factory=dict)
    task: dict[str, Any] = field(default_factory=dict)
    function: dict[str, Any] = field(default_factory=dict)
    command: dict[str, Any] = field(default_factory=dict)


ConfigStore.instance().store(name="schema", node=Schema)
OmegaConf.register_new_resolver("largest_group", largest_group)
OmegaConf.register_new_resolver("count", lambda value: len(value) if isinstance(value, ListConfig) else 1)


def jobs_of(overrides: Sequence[str], multirun: bool) -> list[list[str]]:
    """The overrides of each job: one, or with ``--multirun`` the product of all sweeps, as Hydra's basic sweeper.

    Raises:
        SettingError: an override cannot be read, or sweeps without ``--multirun``.
    """
    parser, choices = OverridesParser.create(), []
    with one_line_errors():
        for text in overrides:
            try:
                override = parser.parse_override(text)
            except HydraException as error:
                raise SettingError(
                    f"{text} cannot be read; write KEY=VALUE, with quotes around texts that hold braces, colons or the "
                    "like, as in 'command.arguments=[python,train.py,\"{lr}\"]'"
                ) from error
            if not override.is_sweep_override():
                choices.append([text])
            elif multirun:
                key = override.get_key_element()
                choices.append([f"{key}={value}" for value in override.sweep_string_iterator()])
            else:
                raise SettingError(f"{text} names several values; add --multirun to run them all, or choose one")
    return [list(job) for job in itertools.product(*choices)]


class Configuration:
    """One job's configuration.

    Args:
        overrides: as typed.
        config_dir: a folder of the user's own config groups, searched as well.

    Raises:
        SettingError: in one line, whatever Hydra has to say.
    """

    def __init__(self, overrides: Sequence[str], config_dir: str | None = None) -> None:
        if config_dir is not None and not Path(config_dir).is_dir():
            raise SettingError(f"--config-dir {config_dir} is not a folder")
        self._config_dir = Path(config_dir) if config_dir else None
        search_path = [f"hydra.searchpath=[file://{Path(config_dir).resolve()}]"] if config_dir else []
        self._typed = list(overrides)
        self._overrides = [*overrides, *search_path]
        config = self._compose([])
        self.experiment: str = config.hydra.runtime.choices.get("experiment") or "default"
        self.settings: DictConfig = _without_hydra(config)
        with one_line_errors():
            OmegaConf.resolve(self.settings.copy())  # a copy: what is derived from a gene must follow it

    def with_seed(self, seed: int) -> Configuration:
        """The same with another seed, wherever it counts."""
        return Configuration([*self._typed, f"seed={seed}"], str(self._config_dir) if self._config_dir else None)

    def plain(self) -> dict[str, Any]:
        """The whole configuration as plain values."""
        return OmegaConf.to_container(self.settings, resolve=True)  # type: ignore[return-value]

    def yaml(self) -> str:
        return OmegaConf.to_yaml(self.settings, resolve=True)

    def with_genotype(self, space: Space) -> Callable[[Genotype], dict[str, Any]]:
        """How a genotype becomes settings: the base configuration with each gene's value at its path."""
        groups = [path for path in space.paths if self.group_choices(path)]
        if not groups and not self._hangs_on(space.paths):
            return _replacing(self.plain())

        def configure(genotype: Genotype) -> dict[str, Any]:
            # A gene that is not active leaves its group as configured.
            chosen = [f"{path}={genotype[path]}" for path in groups if path in genotype]
            config = _without_hydra(self._compose(chosen)) if chosen else self.settings.copy()
            for path, value in genotype.items():
                if path not in groups:
                    OmegaConf.update(config, path, value, merge=False)  # a gene's list or mapping is all that is there
            return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]

        return configure

    def _hangs_on(self, genes: Sequence[str]) -> bool:
        """Whether a setting may be derived from one of these, or one of them lies in a list; in doubt, yes."""
        words = {word for path in genes for word in path.split(".")}
        derived = _interpolations(OmegaConf.to_container(self.settings, resolve=False))
        plain = self.plain()
        return any(words & set(re.findall(r"\w+", text)) for text in derived) or not all(
            isinstance(_parent(plain, path), dict) for path in genes
        )

    def group_choices(self, path: str) -> list[str]:
        """The options of a config group, the user's own included; [] where the path is none."""
        folders = [folder / path.replace(".", "/") for folder in (CONF, self._config_dir) if folder is not None]
        return sorted({file.stem for folder in folders for file in folder.glob("*.yaml")})

    def check_genes(self, space: Space, sections: Sequence[str]) -> None:
        """Refuses genes that are not in the configuration or that no member would notice.

        Args:
            space: the genes.
            sections: where the evaluator reads a member's settings.

        Raises:
            SettingError: naming the gene and the nearest that would do.
        """
        groups = {gene.path: self.group_choices(gene.path) for gene in space}
        for gene in space:
            options = groups[gene.path]
            for choice in getattr(gene, "choices", ()) if options else ():
                if choice not in options:
                    raise SettingError(
                        f"space.{gene.path}.choices names {choice!r}; conf/{gene.path}/ has {', '.join(options)}"
                    )
            if gene.path.split(".")[0] not in sections:
                where = ", ".join(f"{section}.*" for section in sections)
                raise SettingError(f"space.{gene.path}: no member would notice this gene; this evaluator reads {where}")
        known = self._paths_of(self.settings, sections)
        for gene in space:
            group = next((path for path in groups if groups[path] and gene.path.startswith(f"{path}.")), None)
            if group is not None:
                self._check_below_group(space, gene.path, group)
            elif not groups[gene.path] and gene.path not in known and not self._is_replaced(gene):
                raise SettingError(
                    f"space.{gene.path}: there is no setting {gene.path}; the nearest is {nearest(gene.path, known)} "
                    f"(space.{gene.path}=null takes the gene out; +{gene.path}=VALUE makes the setting)"
                )

    def _is_replaced(self, gene: Gene) -> bool:
        """Whether the gene's values are whole sections, and stand where there is one."""
        is_section = isinstance(OmegaConf.select(self.settings, gene.path), DictConfig)
        return is_section and all(isinstance(value, dict) for value in gene.ends)

    def _check_below_group(self, space: Space, path: str, group: str) -> None:
        """Refuses a gene such as model.width where a model without it may be chosen while the gene is active."""
        section = group.split(".", maxsplit=1)[0]
        for choice in _choices_while_active(space, path, group):
            known = self._paths_of(_without_hydra(self._compose([f"{group}={choice}"])), [section])
            if path not in known:
                raise SettingError(
                    f"space.{path}: with {group}={choice} there is no setting {path}; the nearest is "
                    f"{nearest(path, known)} (space.{path}.when.{group}=[...] names the choices that have it)"
                )

    @staticmethod
    def _paths_of(settings: DictConfig, sections: Sequence[str]) -> list[str]:
        return sorted(path for section in sections for path in _paths(settings.get(section), section))

    def _compose(self, more: list[str]) -> DictConfig:
        with one_line_errors(self._overrides):
            if not GlobalHydra.instance().is_initialized():
                initialize_config_dir(str(CONF), version_base="1.3", job_name="nestedga")
            return compose("config", [*self._overrides, *more], return_hydra_config=True)


def split_off(name: str, kind: type[T], overrides: Sequence[str]) -> tuple[T, list[str]]:
    """A section that the configuration does not have: a program's own.

    Args:
        name: of the section.
        kind: a dataclass with defaults for all fields.
        overrides: as typed; those that begin with the section's name fill it.

    Returns:
        The section, and the other overrides.

    Raises:
        SettingError: no such setting, or a value of another type.
    """
    own = [text for text in overrides if text.startswith(f"{name}.")]
    section = OmegaConf.structured(kind)
    known = [f"{name}.{key}" for key in section]
    with one_line_errors():
        for override in OverridesParser.create().parse_overrides(own):
            path, value = override.key_or_group, override.value()
            if override.is_sweep_override():
                raise SettingError(f"{override.input_line} names several values; choose one")
            if path not in known:
                raise SettingError(f"{path} is no setting; the nearest is {nearest(path, known)}")
            try:
                OmegaConf.update(section, path.partition(".")[2], value)
            except OmegaConfBaseException as error:
                raise SettingError(f"{path}={value!r} does not do: {_one_line(error)}") from error
    return OmegaConf.to_object(section), [text for text in overrides if text not in own]  # type: ignore[return-value]


def _interpolations(node: Any) -> Iterator[str]:
    """All texts that stand for other settings, such as ``${groups.group_size}``."""
    if isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _interpolations(child)
    elif isinstance(node, str) and "${" in node:
        yield node


def _parent(plain: dict[str, Any], path: str) -> Any:
    """What a setting lies in; None where there is no such place."""
    node: Any = plain
    for key in path.split(".")[:-1]:
        node = node.get(key) if isinstance(node, dict) else None
    return node


def _replacing(plain: dict[str, Any]) -> Callable[[Genotype], dict[str, Any]]:
    """Writes genes into plain settings: a hundred times faster than into OmegaConf's."""
    pickled = pickle.dumps(plain)  # the fastest deep copy

    def configure(genotype: Genotype) -> dict[str, Any]:
        settings: dict[str, Any] = pickle.loads(pickled)
        for path, value in genotype.items():
            _parent(settings, path)[path.rpartition(".")[2]] = copy.deepcopy(value)  # the choice stays as it is
        return settings

    return configure


def build(section: Any, *args: Any, **kwargs: Any) -> Any:
    """Makes the object of a ``_target_`` section, or calls its function.

    Where a setting is itself such a section with ``_partial_: true``, the object gets a function that builds it, to be
    called with what only the object knows.

    Raises:
        SettingError: the target cannot be found, or takes no such setting.
    """
    target = section.get("_target_")
    if target is None:
        raise SettingError(
            f"a section without _target_ cannot be built: {dict(section)}; name a class or function there"
        )
    inner = {
        key: partial(build, {name: setting for name, setting in value.items() if name != "_partial_"})
        for key, value in section.items()
        if isinstance(value, Mapping) and value.get("_partial_")
    }
    kwargs |= inner
    section = {key: value for key, value in section.items() if key not in inner}
    flat = not any(isinstance(value, Mapping | list) or key in HYDRA_KEYS for key, value in section.items())
    try:
        # Looking a target up takes Hydra a millisecond, so a plain function is called without.
        found, signature = _found(target)
        settings = {key: value for key, value in section.items() if key != "_target_"}
        make = partial(found, **settings) if flat else instantiate({**section, "_partial_": True, "_convert_": "all"})
    except InstantiationException as error:
        if isinstance(error.__cause__, SettingError):
            raise error.__cause__ from error
        reason = error.__cause__ or error
        raise SettingError(f"_target_={target} cannot be built: {' '.join(str(reason).split())}") from error
    if signature is not None:
        try:
            signature.bind(*make.args, *args, **{**make.keywords, **kwargs})
        except TypeError as error:
            known = ", ".join(signature.parameters)
            raise SettingError(f"_target_={target} does not fit its settings: {error}; it takes {known}") from error
    return make(*args, **kwargs)


@cache
def _found(target: str) -> tuple[Callable[..., Any], inspect.Signature | None]:
    """What a target names, and what it takes; None for a built-in that does not say."""
    found = instantiate({"_target_": target, "_partial_": True}).func
    try:
        return found, inspect.signature(found)
    except ValueError:
        return found, None


def read_yaml(path: Path) -> Any:
    """Plain values of a YAML file, numbers read as on the command line (``1e-3`` is one).

    Raises:
        SettingError: it cannot be read.
    """
    try:
        return OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException) as error:
        raise SettingError(f"{path} cannot be read as YAML: {_one_line(error)}") from error


def show(arguments: Sequence[str]) -> None:
    """What Hydra shows by itself: help, the composed configuration, info.

    Raises:
        SettingError: the overrides do not compose.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd")
    config_dir = parser.parse_known_args(arguments)[0].config_dir
    overrides = [argument for argument in arguments if "=" in argument and not argument.startswith("-")]
    for job in jobs_of(overrides, multirun=True):
        Configuration(job, config_dir)  # our errors before Hydra's
    GlobalHydra.instance().clear()
    hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(lambda _: None)()


class one_line_errors:  # noqa: N801 (a context manager, used like a function)
    """Turns Hydra's errors, many lines each, into one of ours; overrides say in what a stranger is sought."""

    def __init__(self, overrides: Sequence[str] = ()) -> None:
        self._overrides = overrides

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, HydraException | OmegaConfBaseException):
            raise SettingError(_one_line(error, self._overrides)) from error


def _settings(overrides: Sequence[str]) -> list[str]:
    """What could be set, with the config groups that were chosen."""
    chosen = [text for text in overrides if "." not in text.split("=")[0] and not text.startswith(("~", "+"))]
    try:
        config = compose("config", chosen, return_hydra_config=True)
    except HydraException:
        config = compose("config", return_hydra_config=True)
    return _paths(_without_hydra(config), "")


def _one_line(error: BaseException, overrides: Sequence[str] = ()) -> str:
    text = str(error)
    missing = re.search(r"Could not find '([^']*)'", text)
    options = re.search(r"Available options in '([^']*)':(.*?)(\n\w|$)", text, re.DOTALL)
    if missing and options:
        names = ", ".join(options.group(2).split())
        return f"{missing.group(1).replace('/', '=')} is unknown; known {options.group(1)}: {names}"
    if stranger := re.search(r"Could not override '([^']*)'", text):
        known = nearest(stranger.group(1), _settings(overrides))
        return f"{stranger.group(1)} is no setting; the nearest is {known} (+{stranger.group(1)}=VALUE makes a new one)"
    if error.__cause__ is not None:
        text = f"{text}: {error.__cause__}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "; ".join(
        line for line in lines if not line.startswith(("full_key", "object_type", "See https", "reference_type"))
    )


def _choices_while_active(space: Space, path: str, group: str) -> list[GeneValue]:
    """The options that the gene of a config group may have while another gene is active."""
    gene = space[group]
    choices: list[GeneValue] = list(getattr(gene, "choices", None) or [getattr(gene, "value", None)])
    for parent, values in space.conditions.get(path, ()):
        possible = values if parent == group else _choices_while_active(space, parent, group)
        choices = [choice for choice in choices if choice in possible]
    return choices


def _without_hydra(config: DictConfig) -> DictConfig:
    config = config.copy()
    OmegaConf.set_struct(config, False)
    config.pop("hydra", None)
    OmegaConf.set_struct(config, True)
    return config


def _paths(node: Any, at: str) -> list[str]:
    """The paths of all leaves below a node that stands at a path."""
    if isinstance(node, DictConfig):
        node = OmegaConf.to_container(node, resolve=False)
    if isinstance(node, dict):
        return [path for key, child in node.items() for path in _paths(child, f"{at}.{key!s}".lstrip("."))]
    return [at]
