"""Points to begin with, spread over a space: what a search evaluates before it has learned anything."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from nestedga.errors import SettingError
from nestedga.population.keys import rng_for

DESIGNS = ("random", "latin_hypercube", "sobol")


def unit_points(kind: str, seed: int, num_points: int, num_dimensions: int) -> NDArray[np.float64]:
    """Points in the unit cube, shape (num_points, num_dimensions), a function of the arguments alone.

    Args:
        kind: ``random``; ``latin_hypercube`` (McKay et al. 1979: one point in each of num_points slices of every
            axis); ``sobol`` (Owen-scrambled Sobol' sequence, Owen 1998; the first points of a longer design are those
            of a shorter one).
        seed: of the draws.
        num_points: how many.
        num_dimensions: of the space.

    Raises:
        SettingError: for an unknown kind.
    """
    rng = rng_for(seed, num_dimensions)
    if kind == "random":
        return rng.random((num_points, num_dimensions))
    if kind == "latin_hypercube":
        return np.asarray(qmc.LatinHypercube(num_dimensions, rng=rng).random(num_points))
    if kind == "sobol":
        power = math.ceil(math.log2(max(1, num_points)))  # a Sobol' sequence is balanced at powers of two
        return np.asarray(qmc.Sobol(num_dimensions, rng=rng).random_base2(power))[:num_points]
    raise SettingError(f"{kind!r} is no design; known: {', '.join(DESIGNS)}")
