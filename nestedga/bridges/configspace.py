"""ConfigSpace's spaces, in and out.

``python -m nestedga.bridges.configspace FILE.json`` prints one as a ``space`` section.

What both can say goes over whole: floats and ints, linear and log; categoricals, ordinals, constants; conditions that
other genes have one of some values. What only ConfigSpace can say is refused: other distributions than uniform,
weights, forbidden clauses, other conditions. What only we can say, perturb factors, travels in a gene's ``meta``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Hashable, Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import ConfigSpace
import numpy as np
import yaml
from ConfigSpace.hyperparameters import Hyperparameter

from nestedga.errors import SettingError
from nestedga.job.yaml_files import read_yaml
from nestedga.population.genes import (
    PERTURB_FACTORS,
    CategoricalGene,
    ConstantGene,
    FloatGene,
    Gene,
    IntGene,
    OrdinalGene,
    gene_from_config,
)
from nestedga.population.member import GeneValue
from nestedga.population.space import Condition, Space
from nestedga.population.values import is_plain, same


def to_configspace(space: Space) -> ConfigSpace.ConfigurationSpace:
    """The same space of ConfigSpace.

    Raises:
        SettingError: ConfigSpace refuses it, as choices that are equal in Python: 1 and True.
    """
    there = ConfigSpace.ConfigurationSpace()
    try:
        parts = {gene.path: _hyperparameter(gene) for gene in space}
        there.add(list(parts.values()))
        for path, condition in space.conditions.items():
            each = [_condition(parts[path], parts[parent], list(values)) for parent, values in condition]
            there.add(each[0] if len(each) == 1 else ConfigSpace.AndConjunction(*each))
    except (TypeError, ValueError) as error:
        raise SettingError(f"ConfigSpace refuses this space: {' '.join(str(error).split())}") from error
    return there


def from_configspace(there: ConfigSpace.ConfigurationSpace) -> Space:
    """The same space of ours.

    Raises:
        SettingError: for what only ConfigSpace can say, naming it.
    """
    if there.forbidden_clauses:
        raise SettingError(
            f"{' '.join(str(there.forbidden_clauses[0]).split())} cannot be said in a space section; take it out, and "
            "have your model raise an error there: failed members are never parents"
        )
    genes = tuple(_gene(hyperparameter) for hyperparameter in there.values())
    conditions: dict[str, Condition] = {}
    for path, parts in there.parent_conditions_of.items():
        if parts:
            conditions[path] = _conditions(path, parts)
    return Space(genes, conditions)


def section_of(space: Space) -> dict[str, Any]:
    """The space as a ``space`` section; reversed by ``Space.from_config``.

    Raises:
        SettingError: its paths cannot be keys of a configuration.
    """
    clash = SettingError(f"these names cannot all be paths of a configuration: {', '.join(space.paths)}")
    section: dict[str, Any] = {}
    for gene in space:
        node = section
        for key in gene.path.split("."):
            node = node.setdefault(key, {})
            if not isinstance(node, dict):
                raise clash
        node |= _leaf(gene)
        if gene.path in space.conditions:
            node["when"] = {
                parent: values[0] if len(values) == 1 and not isinstance(values[0], list | dict) else list(values)
                for parent, values in space.conditions[gene.path]
            }
    if Space.from_config(section) != space:
        raise clash
    return section


def _hyperparameter(gene: Gene) -> Hyperparameter[Any, Any]:
    match gene:
        case FloatGene(path, low, high, log, factors):
            return ConfigSpace.UniformFloatHyperparameter(path, low, high, log=log, meta=_meta(factors))
        case IntGene(path, low, high, log, factors):
            return ConfigSpace.UniformIntegerHyperparameter(path, low, high, log=log, meta=_meta(factors))
        case CategoricalGene(path, choices):
            return ConfigSpace.CategoricalHyperparameter(path, choices)
        case OrdinalGene(path, choices):
            return ConfigSpace.OrdinalHyperparameter(path, choices)
        case ConstantGene(path, value):
            return ConfigSpace.Constant(path, value)
    raise SettingError(f"space.{gene.path}: ConfigSpace knows no {type(gene).__name__}; leave it out")


def _meta(factors: tuple[float, float]) -> dict[Hashable, Any] | None:
    return None if factors == PERTURB_FACTORS else {"perturb": list(factors)}


def _condition(
    child: Hyperparameter[Any, Any], parent: Hyperparameter[Any, Any], values: list[GeneValue]
) -> ConfigSpace.EqualsCondition | ConfigSpace.InCondition:
    if len(values) == 1:
        return ConfigSpace.EqualsCondition(child, parent, values[0])
    return ConfigSpace.InCondition(child, parent, values)


def _gene(part: Hyperparameter[Any, Any]) -> Gene:
    perturb = {"perturb": part.meta["perturb"]} if part.meta and "perturb" in part.meta else {}
    match part:
        case ConfigSpace.UniformFloatHyperparameter() | ConfigSpace.UniformIntegerHyperparameter():
            kind = "float" if isinstance(part, ConfigSpace.UniformFloatHyperparameter) else "int"
            scale = "log" if part.log else "linear"
            leaf = {"low": _plain(part, part.lower), "high": _plain(part, part.upper), "scale": scale, **perturb}
        case ConfigSpace.CategoricalHyperparameter():
            if part.weights is not None and len(set(part.weights)) > 1:
                raise SettingError(f"{part.name}: weights cannot be said in a space section; take them out")
            kind, leaf = "categorical", {"choices": [_plain(part, choice) for choice in part.choices]}
        case ConfigSpace.OrdinalHyperparameter():
            kind, leaf = "ordinal", {"choices": [_plain(part, choice) for choice in part.sequence]}
        case ConfigSpace.Constant():
            kind, leaf = "constant", {"value": _plain(part, part.value)}
        case _:
            raise SettingError(
                f"{part.name}: {type(part).__name__} cannot be said in a space section; use a uniform one, which "
                "ConfigSpace's remove_hyperparameter_priors makes of it"
            )
    return gene_from_config(part.name, {"type": kind, **leaf})


def _conditions(path: str, parts: Iterable[Any]) -> Condition:
    """The condition of one gene; of several conditions all must hold."""
    values_of: dict[str, tuple[GeneValue, ...]] = {}
    for part in chain.from_iterable(map(_components, parts)):
        match part:
            case ConfigSpace.EqualsCondition():
                values: tuple[GeneValue, ...] = (_plain(part.parent, part.value),)
            case ConfigSpace.InCondition():
                values = tuple(_plain(part.parent, value) for value in part.values)
            case _:
                kind = type(part).__name__
                raise SettingError(f"{path}: {kind} cannot be said in a space section; name the values: InCondition")
        before = values_of.get(part.parent.name, values)
        values_of[part.parent.name] = tuple(value for value in values if any(same(value, b) for b in before))
    return tuple(sorted(values_of.items()))


def _components(part: Any) -> list[Any]:
    if isinstance(part, ConfigSpace.AndConjunction):
        return [each for component in part.components for each in _components(component)]
    return [part]


def _plain(part: Hyperparameter[Any, Any], value: Any) -> GeneValue:
    """A Python value of what ConfigSpace may hold as NumPy's."""
    plain: GeneValue = value.item() if isinstance(value, np.generic) else value
    if not is_plain(plain):
        raise SettingError(
            f"{part.name}: the value {plain!r} is no number, string or boolean, nor a list or mapping of such"
        )
    return plain


def _leaf(gene: Gene) -> dict[str, Any]:
    match gene:
        case FloatGene(_, low, high, log, factors) | IntGene(_, low, high, log, factors):
            leaf: dict[str, Any] = {"type": "float" if isinstance(gene, FloatGene) else "int", "low": low, "high": high}
            if log:
                leaf["scale"] = "log"
            if factors != PERTURB_FACTORS:
                leaf["perturb"] = list(factors)
            return leaf
        case CategoricalGene(_, (False, True)):
            return {"type": "bool"}
        case CategoricalGene(_, choices):
            return {"type": "categorical", "choices": list(choices)}
        case OrdinalGene(_, choices):
            return {"type": "ordinal", "choices": list(choices)}
        case ConstantGene(_, value):
            return {"type": "constant", "value": value}
    raise SettingError(f"space.{gene.path}: ConfigSpace knows no {type(gene).__name__}; leave it out")


def main() -> None:
    """Reads the one form, prints the other."""
    parser = argparse.ArgumentParser(
        prog="python -m nestedga.bridges.configspace",
        description="Prints a ConfigSpace JSON file as a space section: > mine/space/theirs.yaml, to be used with "
        "--config-dir mine space=theirs. With --export the other way round.",
    )
    parser.add_argument("file", type=Path, help="ConfigSpace's JSON; with --export, YAML with a space section")
    parser.add_argument("--export", action="store_true", help="print a space section as ConfigSpace's JSON")
    arguments = parser.parse_args()
    try:
        print(_exported(arguments.file) if arguments.export else _imported(arguments.file))
    except SettingError as error:
        print(f"nestedga.bridges.configspace: {error}", file=sys.stderr)
        sys.exit(2)


def _imported(file: Path) -> str:
    try:
        there = ConfigSpace.ConfigurationSpace.from_json(file)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise SettingError(f"{file} is no JSON file of ConfigSpace: {type(error).__name__} {error}") from error
    return str(yaml.safe_dump(section_of(from_configspace(there)), sort_keys=False)).rstrip()


def _exported(file: Path) -> str:
    content = read_yaml(file)
    section = content.get("space", content) if isinstance(content, Mapping) else None
    if not isinstance(section, Mapping):
        raise SettingError(f"{file} holds no space section")
    return json.dumps(to_configspace(Space.from_config(section)).to_serialized_dict(), indent=2)


if __name__ == "__main__":
    main()
