"""Where a rank works, in plain values: what evaluators and training are handed instead of MPI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nestedga.rank.ledger import Ledger
from nestedga.rank.watchdog import Watchdog

Settings = Mapping[str, Any]
"""A member's configuration: the base with its genotype applied, plain values only."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an evaluator works; plain values, so that it needs no MPI.

    Attributes:
        comm: the group's communicator, to be handed to Horovod untouched.
        group: number of the group.
        inner_rank, inner_size: position in the group and its size.
        node_rank: position on the node, from which the device is taken.
        ledger: seconds by activity.
        watchdog: to be given a ``beat`` now and then (every step): a rank silent for too long is taken for hung.
        logs: the folder for what an evaluator writes for people; None: nobody wants it.
    """

    comm: Any
    group: int
    inner_rank: int
    inner_size: int
    node_rank: int
    ledger: Ledger
    watchdog: Watchdog
    logs: Path | None = None
