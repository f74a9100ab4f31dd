"""Under mpirun: one group trains and measures; what it gives must not depend on how many ranks it has."""

import json
import sys
from dataclasses import replace

import numpy as np
import torch
from mpi4py import MPI

from nestedga.comm.mpi import start_mpi
from nestedga.job.build import build
from nestedga.job.configuration import Configuration
from nestedga.population.member import Member
from nestedga.rank.ledger import Ledger
from nestedga.rank.place import Place
from nestedga.rank.watchdog import Watchdog
from nestedga.states.inheritance import Parent, inherit
from nestedga.training.loop import Trainer
from nestedga.training.member_settings import MemberSettings
from nestedga.training.norm import synchronise

OVERRIDES = [
    "data.micro_batches=6",
    "data.augment.pad=1",
    "model.dropout=0.2",
    "data.batch_size=66",
    "optimizer.lr=0.01",
]
RECIPES = {
    "large batch": [
        *("recipe.clip_norm=0.2", "recipe.ema=0.9", "recipe.decay_norms=false", "recipe.lr_scaling=sqrt"),
        *("schedule=cosine", "schedule.epochs=2", "schedule.warmup=0.1", "optimizer.weight_decay=0.1"),
    ],
    "mixed": [
        *("task.mixup=0.4", "task.cutmix=1.0", "task.label_smoothing=0.1", "optimizer=lamb"),
        *("data.batch_size=61", "data.micro_batches=7"),
    ],
}
MACHINES = {
    "16 bits": ["training.precision=fp16", "training.compression=fp16", "training.channels_last=true"],
    "sync_norm": ["recipe.sync_norm=true"],
}


def settings_of(*overrides):
    return MemberSettings.from_config(Configuration(overrides).plain())


def norms_agree(parallel, rank, size):
    """Batch norm over the ranks, each with a part of a batch, is batch norm over the whole batch on one."""
    torch.manual_seed(0)
    whole = torch.randn(4 * size + 1, 3, 5, 5) * 2.0 + 10.0
    weights = torch.randn_like(whole)  # of a loss
    mine = np.array_split(np.arange(len(whole)), size)[rank]
    alone, together = torch.nn.BatchNorm2d(3), synchronise(torch.nn.BatchNorm2d(3), parallel)
    for _ in range(2):
        x, part = whole.clone().requires_grad_(), whole[mine].clone().requires_grad_()
        expected, out = alone(x), together(part)
        (expected * weights).sum().backward()
        (out * weights[mine]).sum().backward()
        torch.testing.assert_close(out, expected[mine], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(part.grad, x.grad[mine], rtol=1e-4, atol=1e-4)
        whole = whole * 1.5 - 4.0
    for name, statistic in alone.named_buffers():
        torch.testing.assert_close(getattr(together, name), statistic, rtol=1e-5, atol=1e-5)
    gradient = together.weight.grad.clone()
    parallel.sum_(gradient, "weight")
    torch.testing.assert_close(gradient, alone.weight.grad, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(together.eval()(whole), alone.eval()(whole))


def main():
    world = start_mpi(1)
    settings = settings_of(*OVERRIDES)
    watchdog = Watchdog(1000.0, lambda: None, "test")
    place = Place(world.Dup(), 0, world.Get_rank(), world.Get_size(), world.Get_rank(), Ledger("initialise"), watchdog)
    trainer = Trainer(place, build, 5, "steps", settings)

    def share(state):
        return world.bcast(state, 0)

    def same_everywhere():
        """Weights and batch-norm statistics, compared bit by bit over the ranks."""
        mine = b"".join(
            tensor.numpy().tobytes()
            for name, tensor in trainer._components.model.state_dict().items()
            if "num_batches" not in name
        )
        return len(set(world.allgather(mine))) == 1

    member = Member(3, 0, 0, {}, (), (), budget=12)
    first = share(trainer.train(member, settings, None))
    measured = trainer.measure("fitness")
    assert same_everywhere()

    # A child with other hyperparameters: they must stand in the live optimizer, and the momentum must be the parent's.
    genes = {"lr": 0.0123, "momentum": 0.5, "weight_decay": 0.0}
    child = replace(settings, optimizer={**settings.optimizer, **genes})
    trainer.load(Member(4, 0, 1, {}, (3,), (3,), 0), child, first)
    group = trainer._components.optimizer.param_groups[0]
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.0123, 0.5, 0.0)
    arrays = first.arrays()
    for name, parameter in trainer._components.model.named_parameters():
        np.testing.assert_array_equal(
            trainer._components.optimizer.state[parameter]["momentum_buffer"].numpy(),
            arrays[f"optimizer/{name}/momentum_buffer"],
        )
        np.testing.assert_array_equal(parameter.detach().numpy(), arrays[f"weights/{name}"])
    for name, buffer in trainer._components.model.named_buffers():
        np.testing.assert_array_equal(buffer.numpy(), arrays[f"weights/{name}"])
    assert trainer.measure("fitness") == measured, "a loaded state must measure as it did"
    second = share(trainer.train(Member(4, 0, 1, {}, (3,), (3,), 12), child, first))
    assert same_everywhere()
    assert int(second.arrays()["counters/steps"]) == 24 and int(second.arrays()["counters/samples"]) == 24 * 66
    after = trainer.measure("fitness")

    # Averaged weights: the statistics are those of the new network, not of its parents, and alike on every rank.
    mixed = inherit("average", np.random.default_rng(0), {}, [Parent(first, {}), Parent(second, {})])
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

    # Each recipe: the same on all ranks, the same again, and inherited.
    recipes = {}
    for name, overrides in RECIPES.items():
        with_recipe = settings_of(*OVERRIDES, *overrides)
        begun = share(trainer.train(Member(20, 0, 0, {}, (), (), 3), with_recipe, None))
        grown = share(trainer.train(Member(21, 0, 1, {}, (20,), (20,), 2), with_recipe, begun))
        assert same_everywhere(), name
        recipes[name] = trainer.measure("fitness")["loss"]
        replayed = share(trainer.train(Member(21, 0, 1, {}, (20,), (20,), 2), with_recipe, begun))
        assert replayed.checksum == grown.checksum, name
        assert any(entry.name.startswith("ema/") for entry in grown.entries) == (name == "large batch")
        trainer.load(Member(21, 0, 1, {}, (20,), (20,), 2), with_recipe, grown)
        assert trainer.measure("fitness")["loss"] == recipes[name], name

    # A topology gene: what fits is inherited by name, the rest is fresh.
    wider = replace(settings, model={**settings.model, "width": 20})
    trainer.load(Member(6, 0, 2, {}, (3,), (3,), 0), wider, first)
    np.testing.assert_array_equal(
        trainer._components.model.classify.bias.detach().numpy(), arrays["weights/classify.bias"]
    )
    assert trainer._components.optimizer.state.get(trainer._components.model.features[0].weight) is None

    # And fresh is the member's own, whatever this rank has trained before.
    grown = Member(8, 0, 2, {}, (3,), (3,), 3)
    one = share(trainer.train(grown, wider, first))
    trainer.train(Member(9, 0, 2, {}, (), (), 3), wider, None)
    assert share(trainer.train(grown, wider, first)).checksum == one.checksum

    norms_agree(trainer._parallel, world.Get_rank(), world.Get_size())
    trainer.close()
    machine = {}
    for name, overrides in MACHINES.items():
        pieces = world.Get_size() if name == "sync_norm" else 6
        settings = settings_of("data.batch_size=66", "optimizer.lr=0.02", f"data.micro_batches={pieces}", *overrides)
        trainer = Trainer(place, build, 5, "steps", settings)
        begun = share(trainer.train(Member(30, 0, 0, {}, (), (), 2), settings, None))
        trainer.train(Member(31, 0, 1, {}, (30,), (30,), 2), settings, begun)
        assert same_everywhere(), name
        machine[name] = trainer.measure("fitness")["loss"]
        trainer.close()

    if world.Get_rank() == 0:
        print(
            json.dumps(
                {
                    "first": measured,
                    "second": after,
                    "recipes": {**recipes, **machine},
                    "statistics": float(arrays["weights/features.1.running_mean"].sum()),
                }
            )
        )


if __name__ == "__main__":
    torch.manual_seed(12345)  # whatever stood in the global generator must not matter
    try:
        main()
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
        MPI.COMM_WORLD.Abort(1)
