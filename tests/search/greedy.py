"""A problem on which greed does not pay: a large learning rate learns, but its noise hides what was learnt."""

from __future__ import annotations

from nestedga.population.genes import FloatGene
from nestedga.population.member import Evaluation
from nestedga.population.space import Space

RATE = Space((FloatGene("lr", 1e-4, 1.0, log=True),))


def best_of_greedy_trap(kind, seed, **settings):
    """The smallest ``error + noise`` in 60 intervals of 12 slots.

    An interval makes the error smaller by lr / 10 of it, and brings the noise half the way towards lr: a smaller rate
    looks better at once, and learns nothing more.
    """
    search = kind(RATE, seed=seed, budget=1, population_size=12, generations=60, **settings)
    states, best = {}, 2.0
    while not search.done:
        for member in search.ask(12):
            rate = member.genotype["lr"]
            error, noise = states[member.weights_parents[0]] if member.weights_parents else (1.0, rate)
            states[member.id] = error * (1.0 - 0.1 * rate), (noise + rate) / 2.0
            best = min(best, sum(states[member.id]))
            search.tell(Evaluation(member.id, sum(states[member.id])))
    return best
