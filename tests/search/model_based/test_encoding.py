"""Many points at once against the space's own ways, one by one."""

from __future__ import annotations

import numpy as np

from nestedga.population.genes import CategoricalGene, ConstantGene, FloatGene, IntGene, OrdinalGene
from nestedga.population.space import Space
from nestedga.search.model_based.encoding import INACTIVE, Encoding

NESTED = Space(
    (
        CategoricalGene("optimiser", ("sgd", "adam", "lion")),
        FloatGene("lr", 1e-4, 1.0, log=True),
        IntGene("width", 1, 40),
        OrdinalGene("batch", (16, 32, 64)),
        CategoricalGene("nesterov", (False, True)),
        FloatGene("decay", 0.0, 1.0),
        IntGene("steps", 0, 3),
        ConstantGene("seed", 7),
    ),
    {
        "decay": (("nesterov", (True,)), ("width", tuple(range(1, 21)))),
        "steps": (("nesterov", (False,)), ("batch", (16, 64))),
        "nesterov": (("optimiser", ("sgd", "lion")),),
    },
)


def test_snapped_points_are_those_of_genotypes():
    points = np.random.default_rng(0).random((500, len(NESTED)))
    expected = np.array([NESTED.to_unit(NESTED.from_unit(point)) for point in points])
    assert np.isnan(expected[:, NESTED.paths.index("decay")]).any()
    np.testing.assert_allclose(Encoding(NESTED).snapped(points), expected, rtol=1e-9)


def test_what_is_snapped_stays_and_gives_the_same_genotype():
    space = Space((IntGene("log", 1, 1000, log=True), OrdinalGene("batch", (1, 2, 3)), IntGene("wide", 0, 10**9)))
    encoding = Encoding(space)
    points = encoding.snapped(np.random.default_rng(0).random((200, 3)))
    np.testing.assert_array_equal(encoding.snapped(points), points)
    told = np.array([space.to_unit(space.from_unit(point)) for point in points])
    discrete = [space.paths.index(path) for path in ("batch", "log")]
    np.testing.assert_array_equal(told[:, discrete], points[:, discrete])  # bit by bit: known points are found again


def test_features_have_a_column_for_each_of_several_choices_and_a_mark_for_who_is_inactive():
    encoding = Encoding(NESTED)
    features = encoding.features(encoding.snapped(np.random.default_rng(0).random((300, len(NESTED)))))
    assert features.shape == (300, len(NESTED) + 2) and features.dtype == np.float32
    start = NESTED.paths.index("optimiser")
    one_hot = features[:, start : start + 3]
    assert set(one_hot.flat) == {0.0, 1.0} and (one_hot.sum(axis=1) == 1.0).all()
    assert (features[:, -2] == INACTIVE).any() and (features[:, -1] != INACTIVE).all()


def test_mutants_are_near_their_parents_and_differ():
    encoding, rng = Encoding(NESTED), np.random.default_rng(0)
    parent = encoding.snapped(rng.random((1, len(NESTED))))
    mutants = encoding.mutants(rng, parent, 2000)
    assert ((mutants >= 0.0) & (mutants <= 1.0)).all()
    active = ~np.isnan(parent[0])
    changed = (mutants != parent)[:, active]
    # One gene is hit for certain, each of the others with probability 1 / n.
    expected = (1.0 + (len(NESTED) - 1) / len(NESTED)) / len(NESTED)
    np.testing.assert_allclose(changed.mean(), expected, atol=0.02)
    lr = NESTED.paths.index("lr")
    steps = np.abs(mutants[:, lr] - parent[0, lr])
    assert np.quantile(steps[steps > 0], 0.5) < 0.1 < steps.max()
