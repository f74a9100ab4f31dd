"""Training one member for one interval, and measuring it. Reads top to bottom."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.optim.swa_utils import update_bn

from nestedga.errors import SettingError
from nestedga.member import Member
from nestedga.place import Place, Settings
from nestedga.state import State
from nestedga.training.data.base import Dataset
from nestedga.training.data_parallel import DataParallel, pick_device
from nestedga.training.flat import StepBuffer
from nestedga.training.keys import INITIALISE, RECALIBRATE, SHUFFLE, TRAIN, key
from nestedga.training.state import COUNTERS, fits, pack, unpack

METRICS = ("accuracy", "error", "loss")
CHUNK = 64  # samples measured at once; fixed, so that a FoM has the same bits for any number of ranks
RECALIBRATION_SAMPLES = 1024  # ours: the mean of a channel is then known to some per cent of its deviation
LIVE_DATA = ("batch_size", "micro_batches")  # settings of the data section that belong to the loop


class Diverged(ArithmeticError):
    """The loss is no number any more."""


class Trainer:
    """A model, its optimizer and its data on one rank of a group; every rank does every call.

    Args:
        place: where this rank stands.
        build: makes an object of a ``_target_`` section (and positional arguments).
        seed: of all draws.
        unit: of a member's budget, ``epochs`` or ``steps``.
        settings: the base configuration.
    """

    def __init__(self, place: Place, build: Callable[..., Any], seed: int, unit: str, settings: Settings) -> None:
        training = settings["training"]
        if training["threads"] < 1:
            raise SettingError(f"training.threads={training['threads']} must be 1 or more")
        if training["device"] not in ("auto", "cpu", "cuda"):
            raise SettingError(f"training.device={training['device']!r} is unknown; use auto, cpu or cuda")
        torch.set_num_threads(training["threads"])
        self._place, self._build, self._seed, self._unit = place, build, seed, unit
        self._parallel = DataParallel(place.comm)
        self._wanted_device = training["device"]
        self._device = pick_device(self._wanted_device, place.node_rank, alone=place.inner_size == 1)
        self._built: dict[str, Any] = {}  # settings of what stands below
        self._dataset: Dataset
        self._model: torch.nn.Module
        self._optimizer: torch.optim.Optimizer
        self._step_buffer: StepBuffer
        self.configure(settings, key(seed, INITIALISE), fresh=True)
        # One batch through the model, so that shapes that do not fit are named at start.
        _probe(self._model, self._dataset, self._device)

    def configure(self, settings: Settings, init_key: int, fresh: bool) -> None:
        """Brings model, optimizer and data to a member's settings; rebuilds what cannot be changed live.

        Args:
            settings: the member's.
            init_key: seed of whatever weights are built.
            fresh: build the model anew even where its settings are the same.
        """
        data = {name: value for name, value in settings["data"].items() if name not in LIVE_DATA}
        if data != self._built.get("data"):
            self._dataset = self._build(data)
            self._built["data"] = data
        _check_batch(settings["data"], self._dataset.size("train"))
        model = dict(settings["model"])
        if fresh or model != self._built.get("model"):
            torch.manual_seed(init_key)
            self._model = self._build(model).to(self._device)
            self._step_buffer = StepBuffer(self._model)
            self._built = {**self._built, "model": model, "optimizer": None}
        optimizer = dict(settings["optimizer"])
        if not _set_live(self._built.get("optimizer"), optimizer, lambda: self._optimizer):
            self._optimizer = self._build(optimizer, self._model.parameters())
        self._built["optimizer"] = optimizer
        _check_live(self._optimizer, optimizer)

    def train(self, member: Member, settings: Settings, parent: State | None) -> State | None:
        """One interval; gives the new state on the group's first rank."""
        init_key = key(self._seed, INITIALISE, member.id)
        self.configure(settings, init_key, fresh=parent is None)
        if parent is not None and not fits(parent, self._model):
            # What is not inherited must be this member's own, and not what the one before has left on this rank.
            self.configure(settings, init_key, fresh=True)
        if parent is None:
            counters = self._agree_on_fresh()
        else:
            counters = unpack(parent, self._model, self._optimizer)
            _check_live(self._optimizer, settings["optimizer"])
            if member.weights_crossover is not None:
                self._recalibrate(member)
        batch_size, num_pieces = settings["data"]["batch_size"], settings["data"]["micro_batches"]
        steps_per_epoch = self._dataset.size("train") // batch_size  # the rest of an epoch's shuffle is left out
        num_steps = member.budget * steps_per_epoch if self._unit == "epochs" else member.budget
        self._model.train()
        total_loss = torch.zeros((), device=self._device)
        for step in range(num_steps):
            epoch, step_of_epoch = divmod(step, steps_per_epoch)
            if step_of_epoch == 0:
                rng = np.random.default_rng(key(self._seed, SHUFFLE, member.id, epoch))
                order = rng.permutation(self._dataset.size("train"))
            batch = order[step_of_epoch * batch_size : (step_of_epoch + 1) * batch_size]
            self._step(np.array_split(batch, num_pieces), key(self._seed, TRAIN, member.id, step))
            total_loss += self._step_buffer.loss
            if step_of_epoch == steps_per_epoch - 1 and not math.isfinite(total_loss.item()):
                raise Diverged(f"the training loss is {total_loss.item()} in epoch {epoch} of the interval")
            self._place.watchdog.beat()
        counters = {
            "epochs": counters["epochs"] + num_steps // steps_per_epoch,
            "steps": counters["steps"] + num_steps,
        }
        with self._place.ledger.during("checkpoint"):
            return pack(self._model, self._optimizer, counters) if self._parallel.rank == 0 else None

    def _step(self, pieces: list[np.ndarray[Any, np.dtype[np.int64]]], step_key: int) -> None:
        """One step over the global batch, cut into micro-batches that the ranks share in turn."""
        buffer = self._step_buffer
        buffer.begin_step()
        for number in range(self._parallel.rank, len(pieces), self._parallel.size):
            torch.manual_seed(key(step_key, number))  # augmentation and dropout: the same for any number of ranks
            inputs, targets = self._dataset.batch("train", pieces[number])
            inputs = self._dataset.augment(inputs).to(self._device)
            buffer.begin_piece()
            loss = functional.cross_entropy(self._model(inputs), targets.to(self._device), reduction="sum")
            loss.backward()  # type: ignore[no-untyped-call]
            buffer.end_piece(loss, len(targets))
        self._parallel.sum_(buffer.sums, "step")
        buffer.average(sum(len(piece) for piece in pieces))
        self._optimizer.step()

    def measure(self, split: str) -> dict[str, float]:
        """Metrics over a whole split; every sample counts once, whatever the number of ranks."""
        size = self._dataset.size(split)
        num_chunks = -(-size // CHUNK)
        table = torch.zeros(num_chunks, 2, dtype=torch.float64)  # (loss sum, number correct) of each chunk
        self._model.eval()
        with torch.inference_mode():
            for chunk in range(self._parallel.rank, num_chunks, self._parallel.size):
                inputs, targets = self._dataset.batch(split, np.arange(chunk * CHUNK, min((chunk + 1) * CHUNK, size)))
                outputs, targets = self._model(inputs.to(self._device)).double(), targets.to(self._device)
                table[chunk, 0] = functional.cross_entropy(outputs, targets, reduction="sum")
                table[chunk, 1] = (outputs.argmax(1) == targets).sum()
                self._place.watchdog.beat()
        self._parallel.sum_(table, f"measure {split}")  # each chunk is one rank's, so this sum is exact
        loss, accuracy = (float(total) / size for total in table.sum(0))
        if not math.isfinite(loss):
            raise Diverged(f"the {split} loss is {loss}")
        return {"accuracy": accuracy, "error": 1.0 - accuracy, "loss": loss}

    @property
    def num_parameters(self) -> int:
        """How many numbers of the model are trained."""
        return sum(parameter.numel() for parameter in self._model.parameters() if parameter.requires_grad)

    def load(self, member: Member, settings: Settings, state: State) -> None:
        """Brings a trained state into the model, for measuring."""
        self.configure(settings, key(self._seed, INITIALISE, member.id), fresh=False)
        unpack(state, self._model, self._optimizer)

    def move(self, place: Place) -> None:
        """Goes on in another group; what stands is built anew where the group's device is another."""
        self._place = place
        self._parallel.move(place.comm)
        device = pick_device(self._wanted_device, place.node_rank, alone=place.inner_size == 1)
        if device != self._device:
            self._device = device
            self._built.update(model=None, optimizer=None)

    def release(self) -> None:
        """Lets partners go that wait for this rank."""
        self._parallel.close()

    def restart(self) -> None:
        """Goes on after a failure, with nothing built of what the failed member may have spoilt."""
        self._parallel.restart()
        self._built.update(model=None, optimizer=None)

    def close(self) -> None:
        self._parallel.close()

    def _recalibrate(self, member: Member) -> None:
        """Measures batch-norm statistics anew, for weights that never were together in one network.

        As for averaged weights in Izmailov et al. 2018 (arXiv:1803.05407), section 3.2, over a part of the split. Every
        rank does the same, so nothing needs to be agreed.
        """
        rng = np.random.default_rng(key(self._seed, RECALIBRATE, member.id))
        samples = rng.permutation(self._dataset.size("train"))[:RECALIBRATION_SAMPLES]
        torch.manual_seed(key(self._seed, RECALIBRATE, member.id))
        update_bn(
            (
                self._dataset.augment(self._dataset.batch("train", chunk)[0])
                for chunk in np.array_split(samples, -(-len(samples) // CHUNK))
            ),
            self._model,
            self._device,
        )

    def _agree_on_fresh(self) -> dict[str, int]:
        """Fresh weights are equal by their key; broadcast all the same, for ranks whose machines round differently."""
        self._optimizer.state.clear()
        counters = dict.fromkeys(COUNTERS, 0)
        if self._parallel.size > 1:
            state = pack(self._model, self._optimizer, counters)
            buffer = torch.from_numpy(state.buffer.copy())
            self._parallel.broadcast_(buffer, "fresh weights")
            unpack(State(state.entries, buffer.numpy(), state.checksum), self._model, self._optimizer)
        return counters


def _set_live(
    before: dict[str, Any] | None, wanted: dict[str, Any], optimizer: Callable[[], torch.optim.Optimizer]
) -> bool:
    """Writes changed hyperparameters into the live optimizer; False where it must be built anew."""
    if before is None or before["_target_"] != wanted["_target_"] or set(before) != set(wanted):
        return False
    changed = {name: value for name, value in wanted.items() if before[name] != value}
    if any(name not in group for name in changed for group in optimizer().param_groups):
        return False
    for group in optimizer().param_groups:
        group.update({name: _like(value) for name, value in changed.items()})
    return True


def _check_live(optimizer: torch.optim.Optimizer, settings: Mapping[str, Any]) -> None:
    """Reads the hyperparameters back from the optimizer: an inherited state must never have replaced a gene."""
    for group in optimizer.param_groups:
        for name, value in settings.items():
            if name in group and group[name] != _like(value):
                raise RuntimeError(f"optimizer.{name} should be {value} and is {group[name]} in the live optimizer")


def _like(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value  # betas and the like


def _check_batch(data: Mapping[str, Any], num_samples: int) -> None:
    batch_size, micro_batches = data["batch_size"], data["micro_batches"]
    if not 1 <= batch_size <= num_samples:
        raise SettingError(f"data.batch_size={batch_size} must be from 1 to the {num_samples} training samples")
    if not 1 <= micro_batches <= batch_size:
        raise SettingError(
            f"data.micro_batches={micro_batches} must be from 1 to data.batch_size={batch_size}; "
            "by default there is one for each rank of groups.group_size"
        )


def _probe(model: torch.nn.Module, dataset: Dataset, device: torch.device) -> None:
    inputs, targets = dataset.batch("train", np.arange(2))
    model.eval()
    with torch.inference_mode():
        try:
            outputs = model(inputs.to(device))
        except (RuntimeError, ValueError) as error:
            raise SettingError(
                f"model does not take the data's inputs of shape {tuple(inputs.shape)}: {str(error).splitlines()[0]}"
            ) from error
    if outputs.dim() != 2 or outputs.shape[0] != 2 or outputs.shape[1] <= int(targets.max()):
        raise SettingError(
            f"model gives outputs of shape {tuple(outputs.shape)} for targets such as {targets.tolist()}"
        )
