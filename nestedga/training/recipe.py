"""The section ``recipe``: how large batches are trained."""

from __future__ import annotations

import math
from collections.abc import Callable

from nestedga.errors import SettingError
from nestedga.training.settings import RecipeConfig

SCALINGS: dict[str, Callable[[float], float]] = {
    "none": lambda ratio: 1.0,
    "linear": lambda ratio: ratio,  # Goyal et al. 2017 (arXiv:1706.02677), section 2.1
    "sqrt": math.sqrt,  # Krizhevsky 2014 (arXiv:1404.5997), section 3; for Adam and LAMB: You et al. 2020, section 4.3
}


def scaling(recipe: RecipeConfig, batch_size: int) -> float:
    """The factor on ``optimizer.lr`` for a member's global batch."""
    return SCALINGS[recipe.lr_scaling](batch_size / recipe.base_batch_size)


def check_recipe(recipe: RecipeConfig) -> None:
    """Raises SettingError for what cannot be."""
    if recipe.lr_scaling not in SCALINGS:
        raise SettingError(f"recipe.lr_scaling={recipe.lr_scaling!r} is unknown; known: {', '.join(SCALINGS)}")
    if recipe.base_batch_size < 1:
        raise SettingError(f"recipe.base_batch_size={recipe.base_batch_size} must be 1 or more")
    if recipe.clip_norm is not None and not recipe.clip_norm > 0:
        raise SettingError(f"recipe.clip_norm={recipe.clip_norm:g} must be above 0; null clips nothing")
    if recipe.ema is not None and not 0 < recipe.ema < 1:
        raise SettingError(f"recipe.ema={recipe.ema:g} must be above 0 and below 1; null averages nothing")
