"""Runs under mpirun in Propulate's environment; prints when each rank evaluated, a JSON list of lists of seconds.

``python on_propulate.py EVALUATIONS FOLDER``: so many of each rank; FOLDER takes the checkpoints.
"""

import json
import random
import sys
import time

from mpi4py import MPI
from propulate import Propulator, get_default_propagator

POPULATION = 20  # to breed from; as many as our search keeps
LIMITS = {"x": (0.0, 1.0)}


def main():
    times = []

    def loss(individual):
        times.append(time.time())
        return (individual["x"] - 0.3) ** 2

    rng = random.Random(MPI.COMM_WORLD.rank)
    propagator = get_default_propagator(pop_size=POPULATION, limits=LIMITS, rng=rng)
    propulator = Propulator(
        loss_fn=loss, propagator=propagator, rng=rng, generations=int(sys.argv[1]), checkpoint_path=sys.argv[2]
    )
    propulator.propulate(logging_interval=int(sys.argv[1]), debug=0)
    everything = MPI.COMM_WORLD.gather(times)
    if MPI.COMM_WORLD.rank == 0:
        print(json.dumps(everything))


if __name__ == "__main__":
    main()
