"""Samplers and grids: searches that learn nothing."""

from nestedga.search.sampling.sampling import Sampling

__all__ = ["Sampling"]
