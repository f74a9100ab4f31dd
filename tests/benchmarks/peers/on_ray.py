"""Runs in Ray's environment: PBT of Ray Tune with members that only copy their state; prints what ray_tune.py asks.

``python on_ray.py SETTINGS FOLDER``: SETTINGS as JSON, see ``ray_tune.SETTINGS``; FOLDER takes the checkpoints.
The last line is a list: when each generation ended, in seconds. A generation has ended when every trial has handed in
so many results.
"""

import json
import logging
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import ray
from ray import tune
from ray.tune.schedulers import PopulationBasedTraining


class Copies(tune.Trainable):
    """The class interface, because only it reuses actors without a new call of a function."""

    def setup(self, config):
        self.x = config["x"]
        self.array = np.zeros(config["megabytes"] * 250_000, np.float32)

    def step(self):
        self.array = self.array.copy()
        return {"fom": self.x}

    def save_checkpoint(self, folder):
        np.save(Path(folder, "array.npy"), self.array)
        return folder

    def load_checkpoint(self, folder):
        self.array = np.load(Path(folder, "array.npy"))

    def reset_config(self, config):
        self.x = config["x"]
        return True


class Clock(tune.Callback):
    def __init__(self, population):
        self.population = population
        self.results = Counter()
        self.ends = []

    def on_trial_result(self, iteration, trials, trial, result, **info):
        self.results[trial.trial_id] += 1
        if len(self.results) == self.population and min(self.results.values()) > len(self.ends):
            self.ends.append(time.monotonic())


class Enough(tune.Stopper):
    def __init__(self, clock, generations):
        self.clock, self.generations = clock, generations

    def __call__(self, trial_id, result):
        return False

    def stop_all(self):
        return len(self.clock.ends) >= self.generations


def main():
    settings, folder = json.loads(sys.argv[1]), sys.argv[2]
    population = settings["population"]
    ray.init(num_cpus=settings["cores"], include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    clock = Clock(population)
    scheduler = PopulationBasedTraining(
        time_attr="training_iteration",
        metric="fom",
        mode="min",
        perturbation_interval=1,
        hyperparam_mutations={"x": tune.uniform(0.0, 1.0)},
        synch=settings["synch"],
        log_config=False,
    )
    tuner = tune.Tuner(
        tune.with_resources(Copies, {"cpu": settings["cores_per_trial"]}),
        param_space={"x": tune.uniform(0.0, 1.0), "megabytes": settings["megabytes"]},
        tune_config=tune.TuneConfig(
            # With a sample left over, the search is not over and Ray goes on to keep its actors.
            num_samples=population + settings["spare_samples"],
            max_concurrent_trials=population,
            scheduler=scheduler,
            reuse_actors=settings["reuse_actors"],
        ),
        run_config=tune.RunConfig(
            storage_path=folder, name="run", stop=Enough(clock, settings["generations"]), verbose=0, callbacks=[clock]
        ),
    )
    if tuner.fit().errors:
        raise SystemExit("a trial failed")
    print(json.dumps(clock.ends))


if __name__ == "__main__":
    main()
