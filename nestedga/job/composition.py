"""Hydra puts the files of conf/ and the overrides together; what it says of mistakes is left to hydra_errors.py."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, ListConfig, OmegaConf

from nestedga.job.schema import Schema
from nestedga.protocol.layout import largest_group

PACKAGE = Path(__file__).resolve().parents[1]
CONF = PACKAGE / "conf" if (PACKAGE / "conf").exists() else PACKAGE.parent / "conf"


def _writable_schema() -> DictConfig:
    """The schema as a node that overrides can be written into: OmegaConf makes frozen dataclasses read-only."""
    schema: DictConfig = OmegaConf.structured(Schema)
    for node in (schema, *schema.values()):
        if OmegaConf.is_config(node):
            OmegaConf.set_readonly(node, None)
    return schema


ConfigStore.instance().store(name="schema", node=_writable_schema())
OmegaConf.register_new_resolver("largest_group", largest_group)
OmegaConf.register_new_resolver("count", lambda value: len(value) if isinstance(value, ListConfig) else 1)


def composed(overrides: Sequence[str]) -> tuple[DictConfig, str]:
    """The configuration, in which nothing is resolved yet, and the name of the experiment; ``default`` without one.

    Raises:
        HydraException: an override does not fit.
    """
    if not GlobalHydra.instance().is_initialized():
        initialize_config_dir(str(CONF), version_base="1.3", job_name="nestedga")
    config = compose("config", list(overrides), return_hydra_config=True)
    experiment = config.hydra.runtime.choices.get("experiment") or "default"
    config = config.copy()
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    OmegaConf.set_struct(config, True)
    return config, experiment
