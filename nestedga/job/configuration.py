"""The configuration of one job: composed, checked, typed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from omegaconf import DictConfig, OmegaConf

from nestedga.errors import SettingError
from nestedga.job.composition import CONF, composed
from nestedga.job.hydra_errors import one_line_errors
from nestedga.job.schema import Schema


class Configuration:
    """One job's configuration.

    Args:
        overrides: as typed.
        config_dir: a folder of the user's own config groups, searched as well.

    Attributes:
        experiment: its name, ``default`` where none is chosen.
        settings: every setting, typed; free sections are dicts of plain values.
        unresolved: the same as Hydra composed it: what is derived from other settings still follows them.

    Raises:
        SettingError: in one line, whatever Hydra has to say.
    """

    def __init__(self, overrides: Sequence[str], config_dir: str | None = None) -> None:
        if config_dir is not None and not Path(config_dir).is_dir():
            raise SettingError(f"--config-dir {config_dir} is not a folder")
        self._config_dir = config_dir
        self._typed = list(overrides)
        self.unresolved, self.experiment = self._compose([])
        try:
            self.settings = msgspec.convert(self.plain(), Schema)
        except msgspec.ValidationError as error:  # OmegaConf has seen to all types but that of ???
            raise SettingError(f"a setting that must be given is still ???: {error}") from error

    def with_seed(self, seed: int) -> Configuration:
        """The same with another seed, wherever it counts."""
        return Configuration([*self._typed, f"seed={seed}"], self._config_dir)

    def plain(self) -> dict[str, Any]:
        """Every setting as a plain value, in nested dicts; those that a user has made with a plus as well."""
        with one_line_errors():
            return OmegaConf.to_container(self.unresolved, resolve=True)  # type: ignore[return-value]

    def yaml(self) -> str:
        """The same as the text of a file."""
        return OmegaConf.to_yaml(self.unresolved, resolve=True)

    def choosing(self, overrides: Sequence[str]) -> DictConfig:
        """Composed anew with more overrides, such as ``model=resnet20``; nothing in it is resolved yet."""
        return self._compose(overrides)[0]

    def group_choices(self, path: str) -> list[str]:
        """The options of a config group, the user's own included; [] where the path is none."""
        folders = [CONF, *([Path(self._config_dir)] if self._config_dir else [])]
        return sorted({file.stem for folder in folders for file in (folder / path.replace(".", "/")).glob("*.yaml")})

    def _compose(self, more: Sequence[str]) -> tuple[DictConfig, str]:
        directory = self._config_dir
        search_path = [f"hydra.searchpath=[file://{Path(directory).resolve()}]"] if directory else []
        overrides = [*self._typed, *search_path]
        with one_line_errors(overrides):
            return composed([*overrides, *more])
