"""What Hydra shows by itself: help, the composed configuration, info."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import hydra
from hydra.core.global_hydra import GlobalHydra

from nestedga.job.composition import CONF
from nestedga.job.configuration import Configuration
from nestedga.job.overrides import jobs_of


def show(arguments: Sequence[str]) -> None:
    """Checks the overrides as a run does, then lets Hydra read the command line.

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
