"""Cutting what comes one after the other into train, fitness and test."""

from __future__ import annotations

from nestedga.errors import SettingError


def cut(size: int, fitness_share: float, test_share: float) -> tuple[int, int, int, int]:
    """Borders of the three parts: 0, end of train, end of fitness, ``size``."""
    for name, share in (("fitness_share", fitness_share), ("test_share", test_share)):
        if not 0.0 < share < 1.0:
            raise SettingError(f"data.{name}={share} must lie between 0 and 1")
    if fitness_share + test_share >= 1.0:
        raise SettingError(
            f"data.fitness_share={fitness_share} and data.test_share={test_share} leave nothing to train on; "
            "their sum must be below 1"
        )
    test = size - round(test_share * size)
    return 0, test - round(fitness_share * size), test, size
