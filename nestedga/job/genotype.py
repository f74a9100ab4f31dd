"""How a genotype becomes settings: the configuration with each gene's value at its path."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from omegaconf import OmegaConf

from nestedga.job.configuration import Configuration
from nestedga.job.leaves import section_of
from nestedga.population.member import Genotype
from nestedga.population.space import Space

Configure = Callable[[Genotype], dict[str, Any]]
"""Makes a member's settings, plain values, of its genotype."""


def make_configure(configuration: Configuration, space: Space) -> Configure:
    """The way that fits the genes: most are written into plain settings, a hundred times faster than by OmegaConf."""
    groups = [path for path in space.paths if configuration.group_choices(path)]
    if not groups and not _derived(configuration, space.paths):
        return _replacing(configuration.plain())

    def configure(genotype: Genotype) -> dict[str, Any]:
        # A gene that is not active leaves its group as configured.
        chosen = [f"{path}={genotype[path]}" for path in groups if path in genotype]
        settings = configuration.choosing(chosen) if chosen else configuration.unresolved.copy()
        for path, value in genotype.items():
            if path not in groups:
                OmegaConf.update(settings, path, value, merge=False)  # a gene's list or mapping is all that is there
        return OmegaConf.to_container(settings, resolve=True)  # type: ignore[return-value]

    return configure


def _derived(configuration: Configuration, genes: Sequence[str]) -> bool:
    """Whether a setting may be derived from one of these, or one of them lies in a list; in doubt, yes."""
    words = {word for path in genes for word in path.split(".")}
    texts = _interpolations(OmegaConf.to_container(configuration.unresolved, resolve=False))
    plain = configuration.plain()
    return any(words & set(re.findall(r"\w+", text)) for text in texts) or not all(
        isinstance(section_of(plain, path), dict) for path in genes
    )


def _interpolations(node: Any) -> Iterator[str]:
    """All texts that stand for other settings, such as ``${groups.group_size}``."""
    if isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _interpolations(child)
    elif isinstance(node, str) and "${" in node:
        yield node


def _replacing(plain: dict[str, Any]) -> Configure:
    pickled = pickle.dumps(plain)  # the fastest deep copy

    def configure(genotype: Genotype) -> dict[str, Any]:
        settings: dict[str, Any] = pickle.loads(pickled)
        for path, value in genotype.items():
            section_of(settings, path)[path.rpartition(".")[2]] = copy.deepcopy(value)  # the choice stays as it is
        return settings

    return configure
