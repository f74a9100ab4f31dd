"""Under mpirun: one group trains and measures; what it gives must not depend on how many ranks it has."""

import json
import sys

import numpy as np
import torch
from mpi4py import MPI

from nestedga.comm.groups import start_mpi
from nestedga.config import Configuration, build
from nestedga.ledger import Ledger
from nestedga.member import Member
from nestedga.place import Place
from nestedga.training.loop import Trainer
from nestedga.watchdog import Watchdog
from nestedga.weights_crossover import average

OVERRIDES = ["data.micro_batches=6", "data.shift=1", "model.dropout=0.2", "data.batch_size=66"]


def main():
    world = start_mpi(1)
    settings = Configuration(OVERRIDES).plain()
    watchdog = Watchdog(1000.0, lambda: None, "test")
    place = Place(world.Dup(), 0, world.Get_rank(), world.Get_size(), world.Get_rank(), Ledger("initialise"), watchdog)
    trainer = Trainer(place, build, 5, "steps", settings)

    def share(state):
        return world.bcast(state, 0)

    def same_everywhere():
        """Weights and batch-norm statistics, compared bit by bit over the ranks."""
        mine = b"".join(
            tensor.numpy().tobytes()
            for name, tensor in trainer._model.state_dict().items()
            if "num_batches" not in name
        )
        return len(set(world.allgather(mine))) == 1

    member = Member(3, 0, 0, {}, (), (), budget=12)
    first = share(trainer.train(member, settings, None))
    measured = trainer.measure("fitness")
    assert same_everywhere()

    # A child with other hyperparameters: they must stand in the live optimizer, and the momentum must be the parent's.
    child = {
        **settings,
        "optimizer": {**settings["optimizer"], "lr": 0.0123, "momentum": 0.5, "weight_decay": 0.0},
    }
    trainer.load(Member(4, 0, 1, {}, (3,), (3,), 0), child, first)
    group = trainer._optimizer.param_groups[0]
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.0123, 0.5, 0.0)
    arrays = first.arrays()
    for name, parameter in trainer._model.named_parameters():
        np.testing.assert_array_equal(
            trainer._optimizer.state[parameter]["momentum_buffer"].numpy(),
            arrays[f"optimizer/{name}/momentum_buffer"],
        )
        np.testing.assert_array_equal(parameter.detach().numpy(), arrays[f"weights/{name}"])
    for name, buffer in trainer._model.named_buffers():
        np.testing.assert_array_equal(buffer.numpy(), arrays[f"weights/{name}"])
    assert trainer.measure("fitness") == measured, "a loaded state must measure as it did"
    second = share(trainer.train(Member(4, 0, 1, {}, (3,), (3,), 12), child, first))
    assert same_everywhere()
    assert int(second.arrays()["counters/steps"]) == 24
    after = trainer.measure("fitness")

    # Averaged weights: the statistics are those of the new network, not of its parents, and alike on every rank.
    mixed = average(np.random.default_rng(0), first, second)
    bred = share(trainer.train(Member(7, 0, 2, {}, (3, 4), (3, 4), 0, "average"), settings, mixed)).arrays()
    assert same_everywhere()
    for name in ("weights/features.0.weight", "counters/steps"):
        np.testing.assert_array_equal(bred[name], mixed.arrays()[name])
    moved = np.abs(bred["weights/features.1.running_mean"] - mixed.arrays()["weights/features.1.running_mean"])
    assert 0.0 < moved.max() < 1.0

    # The same interval again, from a trainer that did something else in between: the same bits.
    again = share(trainer.train(member, settings, None))
    assert again.checksum == first.checksum
    # Another member begins with other weights and sees other batches.
    assert share(trainer.train(Member(5, 0, 0, {}, (), (), 1), settings, None)).checksum != first.checksum

    # A topology gene: what fits is inherited by name, the rest is fresh.
    wider = {**settings, "model": {**settings["model"], "width": 20}}
    trainer.load(Member(6, 0, 2, {}, (3,), (3,), 0), wider, first)
    np.testing.assert_array_equal(trainer._model.classify.bias.detach().numpy(), arrays["weights/classify.bias"])
    assert trainer._optimizer.state.get(trainer._model.features[0].weight) is None

    # And fresh is the member's own, whatever this rank has trained before.
    grown = Member(8, 0, 2, {}, (3,), (3,), 3)
    one = share(trainer.train(grown, wider, first))
    trainer.train(Member(9, 0, 2, {}, (), (), 3), wider, None)
    assert share(trainer.train(grown, wider, first)).checksum == one.checksum

    if world.Get_rank() == 0:
        print(
            json.dumps(
                {
                    "first": measured,
                    "second": after,
                    "statistics": float(arrays["weights/features.1.running_mean"].sum()),
                }
            )
        )
    trainer.close()


if __name__ == "__main__":
    torch.manual_seed(12345)  # whatever stood in the global generator must not matter
    try:
        main()
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
        MPI.COMM_WORLD.Abort(1)
