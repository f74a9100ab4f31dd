"""Training one member for one interval, and measuring it. Reads top to bottom."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch

from nestedga.errors import SettingError
from nestedga.population.keys import INITIALISE, key
from nestedga.population.member import Member
from nestedga.rank.place import Place
from nestedga.states.inheritance import inheritance_of
from nestedga.states.state import State
from nestedga.training.checks import check_training, probe
from nestedga.training.components import Components
from nestedga.training.data.base import Batch
from nestedga.training.data_parallel import DataParallel
from nestedga.training.device import pick_device
from nestedga.training.interval import Interval
from nestedga.training.measuring import Diverged, measure, recalibrate
from nestedga.training.member_settings import MemberSettings
from nestedga.training.state import COUNTERS, fits


class Trainer:
    """A model, its optimizer and its data on one rank of a group; every rank does every call.

    Args:
        place: where this rank stands.
        build: makes an object of a ``_target_`` section (and positional arguments).
        seed: of all draws.
        unit: of a member's budget, ``epochs`` or ``steps``.
        settings: the base configuration.
    """

    def __init__(self, place: Place, build: Callable[..., Any], seed: int, unit: str, settings: MemberSettings) -> None:
        training = settings.training
        check_training(training)
        torch.set_num_threads(training.threads)
        self._place, self._seed, self._unit, self._training = place, seed, unit, training
        self._parallel = DataParallel(place.comm, training.collectives, may_grow=settings.resplit != "never")
        self._components = Components(build, training, self._parallel, self._agreed_device())
        self._components.configure(settings, key(seed, INITIALISE), fresh=True)
        probe(self._components, settings.strengths)

    def check(self, settings: MemberSettings) -> None:
        """Raises SettingError for a member's settings that can never work; builds no model for it."""
        self._components.check(settings)

    def train(self, member: Member, settings: MemberSettings, parent: State | None) -> State | None:
        """One interval; gives the new state on the group's first rank."""
        components, data, recipe = self._components, settings.data, settings.recipe
        strengths = settings.strengths
        counters = self._begin(member, settings, parent)
        if inheritance_of(member.inheritance).new_statistics:
            recalibrate(components, self._seed, member.id, strengths)
        num_samples, batch_size = components.dataset.size("train"), data["batch_size"]
        steps = member.budget if self._unit == "steps" else member.budget * (num_samples // batch_size)
        interval = Interval(
            self._seed, member.id, num_samples, batch_size, data["micro_batches"], steps, counters["samples"]
        )
        batches = components.loader.batches(
            "train", interval.pieces(self._parallel.rank, self._parallel.size), strengths
        )
        components.model.train()
        components.set_rate(interval.epochs(0))
        components.check_live(interval.epochs(0))
        total_loss = torch.zeros((), device=components.device)
        for step in range(steps):
            components.set_rate(interval.epochs(step))
            self._step(interval, step, batches, recipe.clip_norm)
            if components.average is not None and recipe.ema is not None:
                components.average.update(recipe.ema, counters["steps"] + step + 1)
            total_loss += components.step_buffer.loss
            last = step == steps - 1
            if (interval.ends_epoch(step) or last) and not math.isfinite(total_loss.item()):
                raise Diverged(f"the training loss is {total_loss.item()} after {step + 1} steps of the interval")
            self._place.watchdog.beat()
        components.check_live(interval.epochs(max(steps - 1, 0)))
        counters = {"steps": counters["steps"] + steps, "samples": interval.passed(steps)}
        with self._place.ledger.during("checkpoint"):
            return components.pack(counters) if self._parallel.rank == 0 else None

    def _begin(self, member: Member, settings: MemberSettings, parent: State | None) -> dict[str, int]:
        """Brings settings and weights to the beginning of an interval; gives the counters."""
        components, init_key = self._components, key(self._seed, INITIALISE, member.id)
        components.configure(settings, init_key, fresh=parent is None)
        if parent is not None and not fits(parent, components.model):
            # What is not inherited must be this member's own, and not what the one before has left on this rank.
            components.configure(settings, init_key, fresh=True)
        if parent is not None:
            return components.unpack(parent)
        # Fresh weights are equal by their key; broadcast all the same, for ranks whose machines round differently.
        counters = dict.fromkeys(COUNTERS, 0)
        if self._parallel.size == 1:
            return counters
        state = components.pack(counters)
        buffer = torch.from_numpy(state.buffer.copy())
        self._parallel.broadcast_(buffer, "fresh weights")
        return components.unpack(State(state.entries, buffer.numpy(), state.checksum))

    def _step(self, interval: Interval, step: int, batches: Iterator[Batch], clip_norm: float | None) -> None:
        """One step over the global batch, cut into micro-batches that the ranks share in turn.

        A rank that has several sums their gradients: so batches grow past what a device holds (accumulation).
        """
        components, buffer, precision = self._components, self._components.step_buffer, self._components.precision
        buffer.begin_step()
        for number in interval.numbers(self._parallel.rank, self._parallel.size):
            batch = next(batches)
            components.seed(interval.key(step, number))  # dropout, mixup: the same for any number of ranks
            buffer.begin_piece()
            with precision.autocast():
                loss = components.task.loss(components.forward, components.laid_out(batch.inputs), batch.targets)
            precision.backward(loss / interval.batch_size)
            buffer.end_piece(loss, batch.num_samples)
        if self._training.compression == "none":
            self._parallel.sum_(buffer.sums, "step")
        else:
            self._parallel.sum_(buffer.gradients, "gradients", compress=True)
            self._parallel.sum_(buffer.others, "step")
        buffer.average(interval.batch_size)
        precision.step(components.optimizer, buffer.gradients, clip_norm)

    def measure(self, split: str) -> dict[str, float]:
        """Metrics over a whole split; every sample counts once, whatever the number of ranks."""
        return measure(self._components, self._parallel, split, self._place.watchdog.beat)

    @property
    def device(self) -> torch.device:
        return self._components.device

    @property
    def num_parameters(self) -> int:
        """How many numbers of the model are trained."""
        return sum(parameter.numel() for parameter in self._components.model.parameters() if parameter.requires_grad)

    def load(self, member: Member, settings: MemberSettings, state: State) -> None:
        """Brings a trained state into the model, for measuring."""
        self._components.configure(settings, key(self._seed, INITIALISE, member.id), fresh=False)
        self._components.unpack(state)

    def move(self, place: Place) -> None:
        """Goes on in another group; what stands is built anew where the group's device is another."""
        self._place = place
        self._parallel.move(place.comm)
        device = self._agreed_device()
        if device != self._components.device:
            self._components.forget(device)

    def release(self) -> None:
        """Lets partners go that wait for this rank."""
        self._finish_on_device()
        self._parallel.close()

    def restart(self) -> None:
        """Goes on after a failure, with nothing built of what the failed member may have spoilt."""
        self._finish_on_device()
        self._parallel.restart()
        self._components.forget(self._components.device)

    def _finish_on_device(self) -> None:
        """An error on the device is there for good: better this rank ends, and the job, than all members."""
        if self._components.device.type == "cuda":
            torch.cuda.synchronize()
            torch.cuda.empty_cache()  # for others that share the device

    def close(self) -> None:
        self._components.close()
        self._parallel.close()

    def _agreed_device(self) -> torch.device:
        """Of this rank, known to the group; where one has none, all say so, and nobody waits for it."""
        device, refusal = None, None
        try:
            device = pick_device(self._training.device, self._place.node_rank)
        except SettingError as error:
            refusal = error
        if not self._parallel.agree_on(device) or device is None:
            raise refusal or SettingError("training.device: another rank of the group has no such device")
        return device
