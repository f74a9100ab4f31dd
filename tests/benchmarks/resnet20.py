"""ResNet-20 on CIFAR-10, whole: population based training, the schedule that it finds, and what else the epochs buy.

- ``PBT``: a population, bred by its accuracy on images held out of training;
- ``replay``: the schedule of its best member, trained from scratch on those images too (all but one, for there must be
  something to measure);
- ``fixed``: the schedule of He et al. 2016 (arXiv:1512.03385, section 4.2), as many epochs, on the same images;
- ``random``: the best of as many drawn configurations as PBT has members, each as long as a member.

The test split is read once in each, for what it ends with. ``NESTEDGA_CIFAR10`` names the folder of the data.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from tests.benchmarks.page import Limit, Section, table
from tests.benchmarks.runs import run_summary

WANTED, FIXED = 0.9300, 0.9216  # Vose 2019: with PBT, and with the fixed schedule
EVERYTHING = "data.fitness_size=1"  # trained on


@dataclass(frozen=True, slots=True)
class Form:
    """How much is trained, and on what.

    Attributes:
        ranks: of the job.
        population: members of PBT, and drawn configurations.
        generations: intervals of a member, a multiple of 4.
        unit: of an interval, ``epochs`` or ``steps`` of 128 images.
        interval: its length.
        overrides: for this machine.
    """

    ranks: int
    population: int
    generations: int
    unit: str
    interval: int
    overrides: tuple[str, ...] = ()

    @property
    def epochs(self) -> float:
        """Of one member."""
        return self.generations * self.interval * (1 if self.unit == "epochs" else 128 / 50_000)

    def length(self, intervals: int) -> list[str]:
        """Overrides for an interval that is as long as so many."""
        other = "steps" if self.unit == "epochs" else "epochs"
        return [f"interval.{other}=null", f"interval.{self.unit}={self.interval * intervals}"]


WHOLE = Form(8, 16, 80, "epochs", 2, ("data.loader=device", "training.precision=bf16", "training.channels_last=true"))
ON_TWO_CORES = Form(2, 4, 8, "steps", 30)
SHORT = Form(2, 2, 4, "steps", 1, ("data.batch_size=32",))


def measure(short: bool) -> Section:
    """The whole where there is a GPU; on a CPU a form that shows that all of it runs, whatever its outcome."""
    form = SHORT if short else WHOLE if torch.cuda.is_available() else ON_TWO_CORES
    with tempfile.TemporaryDirectory() as folder:
        accuracies = _accuracies(form, Path(folder), seed=0)
    rows = [(name, f"{epochs:.2f}", f"{accuracy:.4f}") for name, (epochs, accuracy) in accuracies.items()]
    limits = ()
    if form is WHOLE:
        replay, fixed = accuracies["replay"][1], accuracies["fixed"][1]
        limits = (
            Limit("test accuracy along the schedule found", f"{replay:.4f}", f"above {WANTED:.4f}", replay > WANTED),
            Limit(
                "above the fixed schedule by",
                f"{replay - fixed:.4f}",
                f"{WANTED - FIXED:.4f} or more",
                replay - fixed >= WANTED - FIXED,
            ),
        )
    text = f"""{form.population} members, {form.generations} intervals of {form.interval} {form.unit}; one seed.

{table(("", "epochs trained", "test accuracy"), rows)}"""
    return Section("ResNet-20 on CIFAR-10", "python -m tests.benchmarks resnet20", limits, text)


def _accuracies(form: Form, folder: Path, seed: int) -> dict[str, tuple[float, float]]:
    """Epochs trained and test accuracy, by name."""
    common = ["+experiment=resnet_pbt", f"data.root={os.environ['NESTEDGA_CIFAR10']}", f"seed={seed}", *form.overrides]
    alone = ["groups.group_size=2", EVERYTHING]
    sizes = [f"search.population_size={form.population}", f"search.generations={form.generations}"]
    parts = [(0.1, form.generations // 2), (0.01, form.generations // 4), (0.001, form.generations // 4)]
    steps = [f"{{genotype: {{optimizer.lr: {rate}}}, budget: {form.interval * part}}}" for rate, part in parts]
    population, member = form.epochs * form.population, form.epochs
    runs = {
        "PBT": (population, ["groups.group_size=1", *sizes, *form.length(1)]),
        "replay": (member, [*alone, "search=replay", f"search.schedule={folder / 'PBT'}", *form.length(1)]),
        "fixed": (member, [*alone, "search=replay", f"search.schedule=[{','.join(steps)}]", *form.length(1)]),
        "random": (
            population,
            [
                *("groups.group_size=1", "search=random", f"search.evaluations={form.population}"),
                *form.length(form.generations),
            ],
        ),
    }
    accuracies = {}
    for name, (epochs, overrides) in runs.items():
        ranks = 2 if epochs == member else form.ranks
        summary = run_summary(ranks, [*common, *overrides], folder, limit=36_000, name=name)
        accuracies[name] = epochs, float(summary["best"]["test"]["accuracy"])
    return accuracies
