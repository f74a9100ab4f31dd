"""YAML files that a user names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from nestedga.errors import SettingError
from nestedga.job.hydra_errors import one_line


def read_yaml(path: Path) -> Any:
    """Plain values of a YAML file, numbers read as on the command line (``1e-3`` is one).

    Raises:
        SettingError: it cannot be read.
    """
    try:
        return OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException) as error:
        raise SettingError(f"{path} cannot be read as YAML: {one_line(error)}") from error
