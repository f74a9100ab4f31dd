"""Searches with a model of what was seen so far."""

from nestedga.search.model_based.model_based import ModelBased

__all__ = ["ModelBased"]
