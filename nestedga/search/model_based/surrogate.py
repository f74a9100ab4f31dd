"""A forest that says what it expects at a point and how sure it is.

By the law of total variance, Hutter et al. 2014, "Algorithm runtime prediction: Methods & evaluation"
(arXiv:1211.0906), section 4.3.2: each leaf has mean and variance of the targets that fell into it, and over the trees

    mean     = E[leaf mean]
    variance = E[leaf variance] + Var[leaf mean]

Lies about points in flight move the means of the leaves that these fall into and grow no new trees: n targets of mean m
and a lie l make (n m + l) / (n + 1). So a forest is grown once for all who ask before the next evaluation comes in, as
the kriging of Ginsbourger et al. 2010 keeps its parameters while it is lied to. Nor do lies make the forest less sure:
they would raise the variance around the very points that they are to keep others away from.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.tree import DecisionTreeRegressor, ExtraTreeRegressor

Floats = NDArray[np.float64]
Features = NDArray[np.float32]

SURROGATES = ("extra_trees", "forest")
NEGLIGIBLE = 1e-3  # decrease of variance, weighted by the share of points, for which no node is split; ours


class Forest:
    """Regression trees, grown one by one.

    scikit-learn's ensembles check and dispatch for about as long as small trees take to grow.

    Args:
        kind: ``extra_trees`` (Geurts et al. 2006, doi:10.1007/s10994-006-6226-1: all points, random thresholds) or
            ``forest`` (Breiman 2001, doi:10.1023/A:1010933404324: bootstrapped points, best thresholds). Each split
            looks at the square root of the number of features.
        rng: of all trees.
        features: shape (n, num_features).
        targets: shape (n,).
        num_trees: how many.
    """

    def __init__(
        self, kind: str, rng: np.random.Generator, features: Features, targets: Floats, num_trees: int
    ) -> None:
        settings = {
            "max_features": "sqrt",
            "min_impurity_decrease": NEGLIGIBLE,
            "random_state": np.random.RandomState(rng.integers(2**31)),  # scikit-learn knows no other generators
        }
        self._trees = []
        with config_context(skip_parameter_validation=True):  # which takes longer than to grow a small tree
            for _ in range(num_trees):
                if kind == "extra_trees":
                    grown = ExtraTreeRegressor(**settings).fit(features, targets, check_input=False)
                else:
                    drawn = rng.integers(len(targets), size=len(targets))
                    grown = DecisionTreeRegressor(**settings).fit(features[drawn], targets[drawn], check_input=False)
                self._trees.append(grown.tree_)
        self._means: list[Floats] = [tree.value[:, 0, 0] for tree in self._trees]  # by node
        self._variances: list[Floats] = [
            np.maximum(tree.impurity, 0.0) for tree in self._trees
        ]  # rounding may go below

    def predict(self, features: Features, lies: tuple[Features, Floats] | None = None) -> tuple[Floats, Floats]:
        """Mean and standard deviation at points, shape (n,) each.

        Args:
            features: of the points.
            lies: features of points in flight, and the targets that they are taken to have; they move the mean.
        """
        leaves = [tree.apply(features) for tree in self._trees]
        means = _gathered(self._means, leaves)
        deviation = np.sqrt(_gathered(self._variances, leaves).mean(axis=0) + means.var(axis=0))
        if lies is not None:
            means = _gathered(self._lied_to(*lies), leaves)
        return means.mean(axis=0), deviation

    def _lied_to(self, features: Features, lies: Floats) -> list[Floats]:
        lied = []
        for tree, means in zip(self._trees, self._means, strict=True):
            leaves, num_nodes = tree.apply(features), len(means)
            num, more = tree.n_node_samples, np.bincount(leaves, minlength=num_nodes)
            lied.append((num * means + np.bincount(leaves, weights=lies, minlength=num_nodes)) / (num + more))
        return lied


def _gathered(by_node: list[Floats], leaves: list[NDArray[np.intp]]) -> Floats:
    """The values of the leaves, shape (num_trees, n)."""
    return np.stack([values[leaf] for values, leaf in zip(by_node, leaves, strict=True)])
