"""Operators that several searches share. Each takes its random generator first."""

from nestedga.search.evolution.crossover import (
    blend_crossover,
    one_point_crossover,
    simulated_binary_crossover,
    uniform_crossover,
)
from nestedga.search.evolution.mutation import mutate, polynomial_mutation, reset_mutation
from nestedga.search.evolution.selection import (
    gaussian_fitness,
    linear_rank_fitness,
    roulette,
    tournament,
    truncation_fitness,
)

__all__ = [
    "blend_crossover",
    "gaussian_fitness",
    "linear_rank_fitness",
    "mutate",
    "one_point_crossover",
    "polynomial_mutation",
    "reset_mutation",
    "roulette",
    "simulated_binary_crossover",
    "tournament",
    "truncation_fitness",
    "uniform_crossover",
]
