"""The forest against the law of total variance, leaf by leaf."""

from __future__ import annotations

import numpy as np
import pytest

from nestedga.search.model_based.surrogate import SURROGATES, Forest


@pytest.fixture
def taught():
    rng = np.random.default_rng(0)
    features = rng.random((60, 3)).astype(np.float32)
    targets = np.round(features.sum(axis=1).astype(np.float64), 1)
    return features, targets, rng.random((20, 3)).astype(np.float32)


def test_mean_and_deviation_are_those_of_a_mixture_of_leaves(taught):
    features, targets, asked = taught
    forest = Forest("extra_trees", np.random.default_rng(1), features, targets, 5)
    means, variances = [], []
    for tree in forest._trees:
        fell = [targets[tree.apply(features) == leaf] for leaf in tree.apply(asked)]
        means.append([values.mean() for values in fell])
        variances.append([values.var() for values in fell])
    assert np.max(variances) > 0.0, "no leaf holds two different targets; the test tests nothing"
    mean, deviation = forest.predict(asked)
    np.testing.assert_allclose(mean, np.mean(means, axis=0))
    np.testing.assert_allclose(deviation**2, np.mean(variances, axis=0) + np.var(means, axis=0), atol=1e-12)


def test_lies_move_the_means_of_their_leaves_and_nothing_else(taught):
    features, targets, asked = taught
    forest = Forest("extra_trees", np.random.default_rng(1), features, targets, 5)
    flying, lies = asked[:4], np.array([9.0, 9.0, 8.0, 7.0])
    means = []
    for tree in forest._trees:
        leaves = tree.apply(flying)
        means.append(
            [
                np.concatenate([targets[tree.apply(features) == leaf], lies[leaves == leaf]]).mean()
                for leaf in tree.apply(asked)
            ]
        )
    mean, deviation = forest.predict(asked, (flying, lies))
    np.testing.assert_allclose(mean, np.mean(means, axis=0))
    np.testing.assert_array_equal(deviation, forest.predict(asked)[1])
    assert mean[0] > forest.predict(asked)[0][0]


@pytest.mark.parametrize("kind", SURROGATES)
def test_it_learns_and_is_a_function_of_its_generator(kind, taught):
    features, targets, asked = taught
    forests = [Forest(kind, np.random.default_rng(seed), features, targets, 30) for seed in (1, 1, 2)]
    one, again, other = (forest.predict(asked)[0] for forest in forests)
    assert (one == again).all() and (one != other).any()
    assert np.corrcoef(one, asked.sum(axis=1))[0, 1] > 0.8


def test_bootstrap_leaves_points_out_and_extra_trees_do_not(taught):
    features, targets, _ = taught
    for kind, everybody in (("extra_trees", True), ("forest", False)):
        trees = Forest(kind, np.random.default_rng(0), features, targets, 5)._trees
        held = [np.isclose(tree.value[0, 0, 0], targets.mean()) for tree in trees]  # the root's mean
        assert all(held) == everybody
