"""Selection, crossover and mutation against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare, kstest

from nestedga.population.genes import CategoricalGene, FloatGene, IntGene, OrdinalGene
from nestedga.population.space import Space
from nestedga.search.evolution.mutation import polynomial_step
from nestedga.search.evolution.operators import (
    blend_crossover,
    gaussian_fitness,
    linear_rank_fitness,
    mutate,
    one_point_crossover,
    polynomial_mutation,
    reset_mutation,
    roulette,
    simulated_binary_crossover,
    tournament,
    truncation_fitness,
    uniform_crossover,
)
from tests.search.searches import SPACE

LIKELY = 0.001  # a test whose figure is unlikelier than this is red; the seeds are fixed
REAL = Space((FloatGene("x", -1.0, 3.0),))
LINE = Space(tuple(FloatGene(name, 0.0, 1.0) for name in "abcde"))


def rng(seed=0):
    return np.random.default_rng(seed)


def unit(genotype):
    return REAL["x"].to_unit(genotype["x"])


# Selection

SCORES = np.array([3.0, 1.0, 4.0, 2.0, 6.0])
PLACES = np.array([2, 0, 3, 1, 4])  # 0 is the best


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (
            lambda rng: roulette(rng, gaussian_fitness(SCORES, 2.0)),
            np.exp(-2.0 * ((SCORES - 1.0) / 5.0) ** 2),
        ),
        (lambda rng: roulette(rng, linear_rank_fitness(SCORES, 1.5)), 1.5 - 1.0 * PLACES / 4),
        (lambda rng: tournament(rng, SCORES, 1), np.ones(5)),
        (lambda rng: tournament(rng, SCORES, 3), (5.0 - PLACES) ** 3 - (4.0 - PLACES) ** 3),
        (lambda rng: roulette(rng, truncation_fitness(SCORES, 0.4)), PLACES < 2),
    ],
    ids=["roulette", "rank", "tournament_1", "tournament_3", "truncation"],
)
def test_parents_are_drawn_as_often_as_the_formula_says(draw, expected):
    generator = rng()
    seen = np.bincount([draw(generator) for _ in range(20_000)], minlength=5)
    expected = np.asarray(expected, dtype=float)
    assert not seen[expected == 0.0].any()
    likely = expected > 0.0
    assert chisquare(seen[likely], 20_000 * expected[likely] / expected.sum()).pvalue > LIKELY


def test_equals_are_equally_likely():
    scores = np.array([1.0, 2.0, 2.0, 3.0])
    for fitness in (gaussian_fitness(scores, 8.0), linear_rank_fitness(scores, 2.0), truncation_fitness(scores, 0.5)):
        assert fitness[1] == fitness[2] > 0.0
    assert linear_rank_fitness(scores, 1.5).mean() == 1.0
    seen = np.bincount([tournament(generator, np.ones(3), 4) for generator in [rng()] for _ in range(6000)])
    assert chisquare(seen).pvalue > LIKELY


def test_one_alone_is_always_drawn():
    one = np.array([5.0])
    fitness = (gaussian_fitness(one, 8.0), linear_rank_fitness(one, 2.0), truncation_fitness(one, 0.1))
    assert [roulette(rng(), f) for f in fitness] == [0, 0, 0]
    assert tournament(rng(), one, 2) == 0


@pytest.mark.parametrize(("fraction", "num"), [(0.01, 1), (0.25, 2), (0.5, 5), (1.0, 10)])
def test_truncation_draws_from_the_best_share_and_from_one_at_least(fraction, num):
    assert truncation_fitness(np.arange(10.0)[::-1], fraction).tolist() == [0.0] * (10 - num) + [1.0] * num


# All crossovers and mutations

CROSSOVERS = {
    "uniform": uniform_crossover,
    "one_point": one_point_crossover,
    "blend": lambda *given: blend_crossover(*given, alpha=0.5),
    "simulated_binary": lambda *given: simulated_binary_crossover(*given, eta=1.0),
}
MUTATIONS = {
    "gaussian": mutate,
    "polynomial": lambda *given: polynomial_mutation(*given, eta=1.0),
    "reset": reset_mutation,
}
every_crossover = pytest.mark.parametrize("cross", [pytest.param(f, id=name) for name, f in CROSSOVERS.items()])
every_mutation = pytest.mark.parametrize("change", [pytest.param(f, id=name) for name, f in MUTATIONS.items()])


@every_crossover
@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0])
def test_children_stay_in_the_space(cross, rate):
    for seed in range(200):
        generator = rng(seed)
        assert SPACE.contains(cross(generator, SPACE, SPACE.sample(generator), SPACE.sample(generator), rate))


@every_crossover
def test_without_crossover_a_child_is_its_first_parent(cross):
    for seed in range(20):
        a, b = SPACE.sample(rng(seed)), SPACE.sample(rng(seed + 100))
        assert cross(rng(seed), SPACE, a, b, 0.0) == a


@every_crossover
def test_equal_parents_have_equal_children(cross):
    a = SPACE.sample(rng())
    assert all(cross(rng(seed), SPACE, a, dict(a), 1.0) == a for seed in range(20))


@every_crossover
def test_a_gene_of_one_parent_only_is_inherited_where_it_is_active(cross):
    rest = {
        path: value for path, value in SPACE.sample(rng()).items() if path not in ("model.skip", "model.skip_scale")
    }
    a, b = {**rest, "model.skip": False}, {**rest, "model.skip": True, "model.skip_scale": 0.123}
    children = [cross(rng(seed), SPACE, a, b, 0.7) for seed in range(100)]
    assert {child.get("model.skip_scale") for child in children if child["model.skip"]} == {0.123}
    assert any(not child["model.skip"] for child in children)


@every_mutation
def test_mutants_stay_in_the_space(change):
    for seed in range(200):
        generator = rng(seed)
        assert SPACE.contains(change(generator, SPACE, SPACE.sample(generator), 0.7))


@pytest.mark.parametrize("name", ["gaussian", "polynomial", "reset"])
def test_each_gene_is_mutated_with_the_rate(name):
    genotype = dict.fromkeys("abcde", 0.4)
    hits = [MUTATIONS[name](rng(seed), LINE, genotype, 0.3) for seed in range(2000)]
    per_gene = np.array([sum(hit[path] != 0.4 for hit in hits) for path in "abcde"])
    assert chisquare([per_gene.sum(), 10_000 - per_gene.sum()], [3000, 7000]).pvalue > LIKELY
    assert chisquare(per_gene).pvalue > LIKELY


# Each crossover


def test_uniform_takes_a_gene_of_b_with_the_rate():
    a, b = dict.fromkeys("abcde", 0.0), dict.fromkeys("abcde", 1.0)
    seen = np.sum([list(uniform_crossover(rng(s), LINE, a, b, 0.3).values()) for s in range(2000)], axis=0)
    assert chisquare([seen.sum(), 10_000 - seen.sum()], [3000, 7000]).pvalue > LIKELY
    assert chisquare(seen).pvalue > LIKELY


def test_one_point_cuts_once_anywhere():
    a, b = dict.fromkeys("abcde", 0.0), dict.fromkeys("abcde", 1.0)
    children = [list(one_point_crossover(rng(seed), LINE, a, b, 1.0).values()) for seed in range(2000)]
    assert all(child == sorted(child) for child in children)
    ones = np.bincount([int(sum(child)) for child in children], minlength=6)
    assert ones[0] == ones[5] == 0
    assert chisquare(ones[1:5]).pvalue > LIKELY


def test_blend_is_uniform_between_the_parents_and_a_little_beyond():
    a, b = REAL.from_unit([0.6]), REAL.from_unit([0.4])
    children = [unit(blend_crossover(rng(s), REAL, a, b, 1.0, alpha=0.5)) for s in range(2000)]
    assert min(children) >= 0.3 and max(children) <= 0.7
    assert kstest(children, "uniform", (0.3, 0.4)).pvalue > LIKELY


def test_simulated_binary_has_the_published_spread_factor():
    eta = 2.0
    a, b = REAL.from_unit([0.51]), REAL.from_unit([0.49])
    children = np.array([unit(simulated_binary_crossover(rng(s), REAL, a, b, 1.0, eta)) for s in range(4000)])

    def cumulative(beta):  # 0.5 * (eta + 1) * beta ** eta, and 0.5 * (eta + 1) / beta ** (eta + 2), integrated
        inside = 0.5 * np.minimum(beta, 1.0) ** (eta + 1.0)
        return np.where(beta <= 1.0, inside, 1.0 - 0.5 * np.maximum(beta, 1.0) ** -(eta + 1.0))

    assert kstest(np.abs(children - 0.5) / 0.01, cumulative).pvalue > LIKELY
    near_a = int((children > 0.5).sum())
    assert chisquare([near_a, 4000 - near_a]).pvalue > LIKELY


@pytest.mark.parametrize("name", ["blend", "simulated_binary"])
def test_real_coded_crossovers_toss_a_coin_for_choices(name):
    space = Space((CategoricalGene("c", ("x", "y", "z")), IntGene("n", 1, 9), OrdinalGene("o", (1, 2, 4, 8))))
    a, b = {"c": "x", "n": 2, "o": 1}, {"c": "z", "n": 6, "o": 4}
    children = [CROSSOVERS[name](rng(seed), space, a, b, 1.0) for seed in range(1000)]
    from_a = sum(child["c"] == "x" for child in children)
    assert {child["c"] for child in children} == {"x", "z"}
    assert chisquare([from_a, 1000 - from_a]).pvalue > LIKELY
    assert {3, 4, 5} <= {child["n"] for child in children} and 2 in {child["o"] for child in children}


# Each mutation


def test_gaussian_steps_have_the_deviation():
    start = REAL.from_unit([0.5])
    steps = [unit(mutate(rng(s), REAL, start, 1.0, 0.05)) - 0.5 for s in range(2000)]
    assert kstest(steps, "norm", (0.0, 0.05)).pvalue > LIKELY


@pytest.mark.parametrize("eta", [1.0, 20.0])
def test_polynomial_steps_have_the_published_density(eta):
    def cumulative(step):  # 0.5 * (eta + 1) * (1 - |step|) ** eta, integrated
        tail = 0.5 * (1.0 - np.abs(step)) ** (eta + 1.0)
        return np.where(step < 0.0, tail, 1.0 - tail)

    generator = rng()
    assert kstest([polynomial_step(generator.random(), eta) for _ in range(4000)], cumulative).pvalue > LIKELY
    if eta == 20.0:  # none so long that it is folded back
        start = REAL.from_unit([0.5])
        steps = [unit(polynomial_mutation(rng(s), REAL, start, 1.0, eta)) - 0.5 for s in range(2000)]
        assert kstest(steps, cumulative).pvalue > LIKELY


def test_a_polynomial_step_too_small_for_whole_numbers_is_one():
    space = Space((IntGene("n", 1, 9), OrdinalGene("o", (1, 2, 4, 8)), CategoricalGene("c", ("x", "y", "z"))))
    start = {"n": 5, "o": 2, "c": "x"}
    mutants = [polynomial_mutation(rng(seed), space, start, 1.0, 1e6) for seed in range(100)]
    assert {mutant["n"] for mutant in mutants} == {4, 6}
    assert {mutant["o"] for mutant in mutants} == {1, 4}
    assert {mutant["c"] for mutant in mutants} == {"y", "z"}


def test_reset_draws_afresh():
    start = REAL.from_unit([0.1])
    drawn = [unit(reset_mutation(rng(s), REAL, start, 1.0)) for s in range(2000)]
    assert kstest(drawn, "uniform").pvalue > LIKELY
