"""Problems with whole numbers, categories and conditional genes, each with a space and a function to be minimised.

An instance turns a problem into another of its kind, as in bbob. Each function takes a genotype of its space, in which
inactive genes have no value.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nestedga.population.genes import CategoricalGene, FloatGene, IntGene, OrdinalGene
from nestedga.population.member import Genotype
from nestedga.population.space import Space


@dataclass(frozen=True)
class Problem:
    """Something to be minimised.

    Attributes:
        space: the genes.
        function: of a genotype.
        optimum: its least value; None where nobody knows it.
    """

    space: Space
    function: Callable[[Genotype], float]
    optimum: float | None


def optimizer_tree(instance: int) -> Problem:
    """Which optimizer with which settings: three branches with genes of their own, a shared one, and interactions.

    The loss of a quadratic bowl around each branch's own best setting; branches differ in depth and width.
    """
    rng = np.random.default_rng([1, instance])
    names = ("sgd", "adam", "rmsprop")
    genes = [
        CategoricalGene("optimizer", names),
        FloatGene("lr", 1e-5, 1.0, log=True),
        FloatGene("momentum", 0.0, 0.99),
        CategoricalGene("nesterov", (False, True)),
        FloatGene("beta2", 0.9, 0.9999),
        FloatGene("rho", 0.5, 0.999),
        OrdinalGene("batch", (16, 32, 64, 128, 256)),
        CategoricalGene("schedule", ("constant", "cosine", "step")),
        IntGene("step_every", 1, 50, log=True),
        FloatGene("step_factor", 0.05, 0.9),
    ]
    space = Space(
        tuple(genes),
        {
            "momentum": (("optimizer", ("sgd", "rmsprop")),),
            "nesterov": (("optimizer", ("sgd",)),),
            "beta2": (("optimizer", ("adam",)),),
            "rho": (("optimizer", ("rmsprop",)),),
            "step_every": (("schedule", ("step",)),),
            "step_factor": (("schedule", ("step",)),),
        },
    )
    best = {(name, gene.path): rng.uniform(0.15, 0.85) for name in names for gene in genes}
    floor = dict(zip(names, rng.permutation([0.0, 0.05, 0.15]).tolist(), strict=True))
    scheduled = dict(zip(("constant", "cosine", "step"), rng.permutation([0.1, 0.04, 0.0]).tolist(), strict=True))
    pull = rng.uniform(0.2, 0.5)

    def function(genotype: Genotype) -> float:
        branch = str(genotype["optimizer"])
        unit = {gene.path: gene.to_unit(genotype[gene.path]) for gene in genes if gene.path in genotype}
        loss = floor[branch] + scheduled[str(genotype["schedule"])]
        for path in ("momentum", "beta2", "rho", "step_every", "step_factor"):
            if path in unit:
                loss += 0.3 * (unit[path] - best[branch, path]) ** 2
        # A large batch wants a large learning rate.
        wanted = best[branch, "lr"] + pull * (unit["batch"] - 0.5)
        loss += (
            2.0 * (unit["lr"] - min(max(wanted, 0.0), 1.0)) ** 2 + 0.1 * (unit["batch"] - best[branch, "batch"]) ** 2
        )
        return loss + (0.03 if genotype.get("nesterov") is False else 0.0)

    return Problem(space, function, None)


def layers(instance: int) -> Problem:
    """How many layers, and each layer's width, activation and dropout: layers that are not there have no genes."""
    rng = np.random.default_rng([2, instance])
    most = 4
    genes: list[IntGene | CategoricalGene | FloatGene] = [IntGene("depth", 1, most)]
    conditions = {}
    for i in range(1, most + 1):
        own = (
            IntGene(f"width{i}", 8, 256, log=True),
            CategoricalGene(f"activation{i}", ("relu", "tanh", "gelu", "swish")),
            FloatGene(f"dropout{i}", 0.0, 0.8),
        )
        genes += own
        if i > 1:
            conditions |= {gene.path: (("depth", tuple(range(i, most + 1))),) for gene in own}
    space = Space(tuple(genes), conditions)
    gain = np.sort(rng.uniform(0.1, 0.5, most))[::-1]  # what a layer is worth at its best; later ones less
    cost = 0.18  # of having it
    width, dropout = rng.uniform(0.2, 0.8, most), rng.uniform(0.1, 0.6, most)
    liked = rng.permuted(np.tile([0.0, 0.1, 0.2, 0.3], (most, 1)), axis=1)
    by_path = {gene.path: gene for gene in genes}

    def function(genotype: Genotype) -> float:
        loss = 1.5
        for i in range(int(genotype["depth"])):
            activation = by_path[f"activation{i + 1}"]
            at = by_path[f"width{i + 1}"].to_unit(genotype[f"width{i + 1}"])
            missed = (at - width[i]) ** 2 + 0.5 * (float(genotype[f"dropout{i + 1}"]) - dropout[i]) ** 2
            choice = int(activation.to_unit(genotype[activation.path]) * 4)
            loss += cost - gain[i] * math.exp(-3.0 * missed) + liked[i, choice]
        return loss

    return Problem(space, function, None)


def landscape(instance: int) -> Problem:
    """Twelve categories, each interacting with the next two (an NK landscape, Kauffman & Weinberger 1989)."""
    rng = np.random.default_rng([3, instance])
    length, choices, reach = 12, 4, 2
    tables = rng.random((length, choices, choices, choices))
    names = tuple("abcd"[:choices])
    space = Space(tuple(CategoricalGene(f"site{i:02}", names) for i in range(length)))

    def value(sites: tuple[int, ...]) -> float:
        return float(
            np.mean([1.0 - tables[(i, *(sites[(i + k) % length] for k in range(reach + 1)))] for i in range(length)])
        )

    def function(genotype: Genotype) -> float:
        return value(tuple(names.index(str(genotype[f"site{i:02}"])) for i in range(length)))

    # The exact optimum, by dynamic programming around the ring: the first two sites are fixed in turn.
    best = math.inf
    for first in itertools.product(range(choices), repeat=reach):
        cost = {first: 0.0}
        for i in range(length - reach):
            grown: dict[tuple[int, ...], float] = {}
            for (a, b), so_far in cost.items():
                for c in range(choices):
                    grown[b, c] = min(grown.get((b, c), math.inf), so_far + 1.0 - tables[i, a, b, c])
            cost = grown
        for (a, b), so_far in cost.items():
            end = 2.0 - tables[length - 2, a, b, first[0]] - tables[length - 1, b, first[0], first[1]]
            best = min(best, so_far + end)
    return Problem(space, function, best / length)


def vessel(instance: int) -> Problem:
    """A pressure vessel of least cost: two plate thicknesses in steps of 1/16 inch, two lengths (Sandgren 1990).

    What breaks a rule is charged in proportion. Instances stretch the volume that the vessel must hold.
    """
    volume = 1_296_000.0 * np.random.default_rng([4, instance]).uniform(0.7, 1.3)
    space = Space(
        (
            IntGene("shell", 1, 99),
            IntGene("head", 1, 99),
            FloatGene("radius", 10.0, 200.0),
            FloatGene("length", 10.0, 240.0),
        )
    )

    def function(genotype: Genotype) -> float:
        shell, head = 0.0625 * int(genotype["shell"]), 0.0625 * int(genotype["head"])
        r, long = float(genotype["radius"]), float(genotype["length"])
        cost = 0.6224 * shell * r * long + 1.7781 * head * r**2 + 3.1661 * shell**2 * long + 19.84 * shell**2 * r
        broken = (
            max(0.0, 0.0193 * r / shell - 1.0)
            + max(0.0, 0.00954 * r / head - 1.0)
            + max(0.0, 1.0 - (math.pi * r**2 * long + 4.0 / 3.0 * math.pi * r**3) / volume)
        )
        return math.log10(cost * (1.0 + 10.0 * broken))

    return Problem(space, function, None)


def classifier(instance: int) -> Problem:
    """A support vector machine on handwritten digits: kernel and its own genes; error in two-fold cross-validation.

    Real training, 240 digits, another draw of them for each instance.
    """
    digits, targets = _digits()
    drawn = np.random.default_rng([5, instance]).permutation(len(digits))[:240]
    inputs, labels = digits[drawn], targets[drawn]
    space = Space(
        (
            FloatGene("c", 1e-3, 1e3, log=True),
            CategoricalGene("kernel", ("linear", "rbf", "poly", "sigmoid")),
            FloatGene("gamma", 1e-5, 1e1, log=True),
            IntGene("degree", 2, 5),
            FloatGene("coef0", -1.0, 1.0),
            CategoricalGene("scaled", (False, True)),
        ),
        {
            "gamma": (("kernel", ("rbf", "poly", "sigmoid")),),
            "degree": (("kernel", ("poly",)),),
            "coef0": (("kernel", ("poly", "sigmoid")),),
        },
    )

    def function(genotype: Genotype) -> float:
        from sklearn.svm import SVC

        settings = {name: genotype[name] for name in ("kernel", "gamma", "degree", "coef0") if name in genotype}
        at = inputs / 16.0 if genotype["scaled"] else inputs
        wrong = 0
        for train, held in ((slice(0, 120), slice(120, 240)), (slice(120, 240), slice(0, 120))):
            model = SVC(C=genotype["c"], max_iter=2000, **settings).fit(at[train], labels[train])
            wrong += int((model.predict(at[held]) != labels[held]).sum())
        return wrong / 240

    return Problem(space, function, None)


@functools.cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)


PROBLEMS: dict[str, Callable[[int], Problem]] = {
    "optimizer_tree": optimizer_tree,
    "layers": layers,
    "landscape": landscape,
    "vessel": vessel,
    "classifier": classifier,
}
