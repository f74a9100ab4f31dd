"""What users' searches import, under the names of version 0.1 and of now."""

import importlib

import pytest


@pytest.mark.parametrize(
    ("before", "now", "name"),
    [
        ("search.base", "search.base.bookkeeping", "Birth"),
        ("search.base", "search.base.generational", "Generational"),
        ("search.base", "search.base.asynchronous", "Asynchronous"),
        ("search.base", "population.keys", "rng_for"),
        ("search.operators", "search.evolution.operators", "mutate"),
        ("search.genetic", "search.evolution.genetic", "Genetic"),
        ("search.grid", "search.sampling.grid", "Grid"),
        ("training.keys", "population.keys", "key"),
        ("genes", "population.genes", "FloatGene"),
    ],
)
def test_old_names_and_new_ones_are_the_same_things(before, now, name):
    old, new = (getattr(importlib.import_module(f"nestedga.{module}"), name) for module in (before, now))
    assert old is new
