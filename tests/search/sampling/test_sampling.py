"""Samplers: each design's defining property, seen in the members that it gives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare, kstest, qmc

from nestedga.errors import SettingError
from nestedga.job.configuration import Configuration
from nestedga.job.plan import make_search
from nestedga.population.space import Space
from nestedga.search.sampling.sampling import Sampling
from tests.search.searches import SPACE, run

REAL = SPACE.subspace(("optimizer.lr", "optimizer.momentum"))


def units(design, evaluations):
    """The members' points in the unit cube, shape (evaluations, 2), in the order of their ids."""
    members = Sampling(REAL, seed=3, budget=1, design=design, evaluations=evaluations).ask(evaluations)
    return np.array([REAL.to_unit(member.genotype) for member in members])


def test_random_points_are_uniform_and_independent():
    points = units("random", 4000)
    assert all(kstest(column, "uniform").pvalue > 1e-3 for column in points.T)
    cells = np.histogram2d(*points.T, bins=8, range=[(0, 1), (0, 1)])[0]
    assert chisquare(cells.ravel()).pvalue > 1e-3


def test_a_latin_hypercube_has_one_point_in_each_slice_of_every_gene():
    points = units("latin_hypercube", 100)
    for column in points.T:
        assert sorted((column * 100).astype(int)) == list(range(100))


def test_sobol_points_are_a_net():
    """Owen 1998: of 2^m points, each elementary interval of volume 2^-m in base 2 has exactly one."""
    points = units("sobol", 64)
    for power in range(7):
        cells = np.histogram2d(*points.T, bins=(2**power, 2 ** (6 - power)), range=[(0, 1), (0, 1)])[0]
        assert np.all(cells == 1), power
    assert qmc.discrepancy(points) < 0.2 * qmc.discrepancy(units("random", 64))


@pytest.mark.parametrize("design", ["random", "sobol"])
def test_a_longer_search_begins_with_the_points_of_a_shorter_one(design):
    assert np.array_equal(units(design, 100)[:20], units(design, 20))


@pytest.mark.parametrize("design", ["random", "latin_hypercube", "sobol"])
def test_choices_are_drawn_alike_and_conditional_genes_only_where_active(design):
    members = run(Sampling(SPACE, seed=0, budget=1, design=design, evaluations=960))
    sizes = [member.genotype["data.batch_size"] for member in members]
    assert chisquare([sizes.count(size) for size in (16, 32, 64)]).pvalue > 1e-3
    assert all(("model.skip_scale" in member.genotype) == member.genotype["model.skip"] for member in members)
    assert all(member.hyper_parents == member.weights_parents == () for member in members)


@pytest.mark.parametrize("design", ["random", "latin_hypercube", "sobol"])
def test_each_is_named_as_a_search(design):
    search = make_search(Configuration([f"search={design}", "search.evaluations=7"]).settings)
    assert search.design == design and len(search.ask(100)) == 7


def test_an_unknown_design_is_named():
    with pytest.raises(SettingError, match=r"search\.design='halton' is unknown; use random, latin_hypercube, sobol"):
        Sampling(Space(SPACE.genes[:1]), seed=0, budget=1, design="halton")
