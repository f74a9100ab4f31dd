"""What sums and broadcasts over the ranks of a group: one class a file, chosen by ``training.collectives``."""

from __future__ import annotations

import importlib

from nestedga.errors import SettingError
from nestedga.training.collectives.base import Collectives

COLLECTIVES = {"horovod": "HorovodCollectives"}  # by setting, which is also the module's name
REMEDIES = {"horovod": "bash launch/setup.sh installs it, and groups.group_size=1 needs none"}  # where it is missing


def find_collectives(name: str) -> type[Collectives]:
    """The class that ``training.collectives`` names.

    Raises:
        SettingError: its package cannot be imported here. No other is taken in its place: sums would have other bits.
    """
    try:
        # Imported when wanted: a rank alone needs none, and it takes seconds.
        module = importlib.import_module(f"{__name__}.{name}")
    except ImportError as error:
        raise SettingError(
            f"training.collectives={name}, and its package cannot be imported here ({error}); {REMEDIES[name]}"
        ) from error
    found: type[Collectives] = getattr(module, COLLECTIVES[name])
    return found
