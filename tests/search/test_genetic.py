"""The genetic algorithm against its formulas."""

from __future__ import annotations

import math

import numpy as np

from tests.search.searches import SEARCHES, evaluate, generation

GENETIC = SEARCHES["genetic"]


def test_genetic_draws_parents_in_proportion_to_the_published_fitness():
    foms, sigma = [0.0, 0.5, 1.0, 2.0], 2.0
    counts = np.zeros(4)
    weights = np.zeros(4)
    for seed in range(500):
        for child in generation(GENETIC.build(seed=seed, sigma=sigma), foms):
            counts += np.bincount(child.hyper_parents, minlength=4)
            weights[child.weights_parents[0]] += 1
    expected = np.array([math.exp(-sigma * (fom / 2.0) ** 2) for fom in foms])
    expected /= expected.sum()
    for seen in (counts, weights):
        chi_squared = ((seen - seen.sum() * expected) ** 2 / (seen.sum() * expected)).sum()
        assert chi_squared < 16.27  # 99.9 % point for 3 degrees of freedom


def test_genetic_child_has_the_genes_of_its_parents_where_nothing_mutates():
    search = GENETIC.build(mutation_rate=0.0)
    known = {}
    while not search.done:
        for member in search.ask(4):
            if member.generation:
                a, b = (known[parent].genotype for parent in member.hyper_parents)
                assert all(
                    value in (a[path], b[path]) for path, value in member.genotype.items() if path != "model.skip_scale"
                )
            known[member.id] = member
            search.tell(evaluate(member))


def test_an_elite_goes_on_unchanged():
    children = generation(GENETIC.build(elites=1), [3.0, 1.0, 2.0, 4.0])
    assert children[0].weights_parents == children[0].hyper_parents == (1,)
    assert children[0].genotype == GENETIC.build().ask(2)[1].genotype
