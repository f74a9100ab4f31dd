"""``python -m tests.benchmarks [NAME ...] [--short]``: measures all or some, and writes docs/benchmarks.md."""

from __future__ import annotations

import argparse

from tests.benchmarks import (
    coordinator,
    data_parallel,
    digits,
    inheritance,
    input_wait,
    model_based,
    outer_loop,
    page,
    propulate,
    quickstart,
    rank_noise,
    ray_tune,
    resnet20,
    search_speed,
    sigma,
    simulated,
    utilisation,
)

BENCHMARKS = {
    "data_parallel": data_parallel.measure,
    "input_wait": input_wait.measure,
    "outer_loop": outer_loop.measure,
    "sigma": sigma.measure,
    "quickstart": quickstart.measure,
    "digits": digits.measure,
    "resnet20": resnet20.measure,
    "rank_noise": rank_noise.measure,
    "search_speed": search_speed.measure,
    "model_based": model_based.measure,
    "coordinator": coordinator.measure,
    "simulated": simulated.measure,
    "inheritance": inheritance.measure,
    "utilisation": utilisation.measure,
    "ray_tune": ray_tune.measure,
    "propulate": propulate.measure,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument(
        "--short", action="store_true", help="a minute or so, to see that all runs; prints and writes nothing"
    )
    options = parser.parse_args()
    if strangers := set(options.names) - set(BENCHMARKS):
        parser.error(f"{', '.join(sorted(strangers))}: unknown; known: {', '.join(BENCHMARKS)}")
    for name in options.names or BENCHMARKS:
        section = BENCHMARKS[name](short=options.short)
        print(section.markdown(), flush=True)
        if not options.short:
            page.write([section])


if __name__ == "__main__":
    main()
