"""How the synthetic runs of tests begin."""

from nestedga.record.events import RunBegan

USUAL = {
    "format": 2,
    "experiment": "synthetic",
    "folder": "F",
    "search": "S",
    "population_size": 4,
    "num_evaluations": None,
    "objective": {"name": "error", "mode": "min"},
    "unit": "epochs",
    "layout": "1 rank",
    "group_sizes": (1,),
    "versions": {},
    "initialise_seconds": 0.0,
}


def start(kind=RunBegan, **more):
    """A start as of four members a generation in one group of one rank, but for what is given."""
    return kind(**{**USUAL, **more})
