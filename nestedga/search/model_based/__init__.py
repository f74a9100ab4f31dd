"""Searches that learn a model of what was seen so far, and ask it what a point promises."""

from nestedga.search.model_based.model_based import ModelBased

__all__ = ["ModelBased"]
