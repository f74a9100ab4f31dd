"""Without a launcher: one epoch of the digits with each way to compute; prints the losses."""

import json
import sys

from nestedga.comm.mpi import start_mpi
from nestedga.job.build import build
from nestedga.job.configuration import Configuration
from nestedga.population.member import Member
from nestedga.rank.ledger import Ledger
from nestedga.rank.place import Place
from nestedga.rank.watchdog import Watchdog
from nestedga.training.loop import Trainer
from nestedga.training.member_settings import MemberSettings


def main():
    world = start_mpi(1)
    losses = {}
    for overrides in (["training.precision=fp32"], *(argument.split() for argument in sys.argv[1:])):
        settings = MemberSettings.from_config(
            Configuration(["data.micro_batches=2", "optimizer.lr=0.02", *overrides]).plain()
        )
        watchdog = Watchdog(1000.0, lambda: None, "test")
        trainer = Trainer(Place(world.Dup(), 0, 0, 1, 0, Ledger("train"), watchdog), build, 5, "epochs", settings)
        state = trainer.train(Member(3, 0, 0, {}, (), (), budget=1), settings, None)
        losses[" ".join(overrides)] = trainer.measure("fitness")["loss"]
        assert all("_orig_mod" not in entry.name for entry in state.entries)
        trainer.close()
    print(json.dumps(losses))


if __name__ == "__main__":
    main()
