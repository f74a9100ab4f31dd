"""Whether the genes of a space are settings that members notice: the mistakes that only the configuration can tell."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from nestedga.errors import SettingError, nearest
from nestedga.job.configuration import Configuration
from nestedga.job.leaves import leaves
from nestedga.population.genes import Gene
from nestedga.population.member import GeneValue
from nestedga.population.space import Space


def check_genes(configuration: Configuration, space: Space, sections: Sequence[str]) -> None:
    """Refuses genes that are not in the configuration or that no member would notice.

    Args:
        configuration: the job's.
        space: the genes.
        sections: where the evaluator reads a member's settings.

    Raises:
        SettingError: naming the gene and the nearest that would do.
    """
    groups = {gene.path: configuration.group_choices(gene.path) for gene in space}
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
    known = _paths(configuration.unresolved, sections)
    for gene in space:
        group = next((path for path in groups if groups[path] and gene.path.startswith(f"{path}.")), None)
        if group is not None:
            _check_below_group(configuration, space, gene.path, group)
        elif not groups[gene.path] and gene.path not in known and not _is_replaced(configuration, gene):
            raise SettingError(
                f"space.{gene.path}: there is no setting {gene.path}; the nearest is {nearest(gene.path, known)} "
                f"(space.{gene.path}=null takes the gene out; +{gene.path}=VALUE makes the setting)"
            )


def _is_replaced(configuration: Configuration, gene: Gene) -> bool:
    """Whether the gene's values are whole sections, and stand where there is one."""
    is_section = isinstance(OmegaConf.select(configuration.unresolved, gene.path), DictConfig)
    return is_section and all(isinstance(value, dict) for value in gene.ends)


def _check_below_group(configuration: Configuration, space: Space, path: str, group: str) -> None:
    """Refuses a gene such as model.width where a model without it may be chosen while the gene is active."""
    section = group.split(".", maxsplit=1)[0]
    for choice in _choices_while_active(space, path, group):
        known = _paths(configuration.choosing([f"{group}={choice}"]), [section])
        if path not in known:
            raise SettingError(
                f"space.{path}: with {group}={choice} there is no setting {path}; the nearest is "
                f"{nearest(path, known)} (space.{path}.when.{group}=[...] names the choices that have it)"
            )


def _choices_while_active(space: Space, path: str, group: str) -> list[GeneValue]:
    """The options that the gene of a config group may have while another gene is active."""
    gene = space[group]
    choices: list[GeneValue] = list(getattr(gene, "choices", None) or [getattr(gene, "value", None)])
    for parent, values in space.conditions.get(path, ()):
        possible = values if parent == group else _choices_while_active(space, parent, group)
        choices = [choice for choice in choices if choice in possible]
    return choices


def _paths(settings: DictConfig, sections: Sequence[str]) -> list[str]:
    """Of all settings in some sections, sorted."""
    plain = OmegaConf.to_container(settings, resolve=False)
    assert isinstance(plain, dict)
    return sorted(path for section in sections for path, _ in leaves(plain.get(section), section))
