"""What stands built on a rank: data, task, model, optimizer and all that belongs to them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from nestedga.errors import SettingError
from nestedga.states.state import State
from nestedga.training.average import Average
from nestedga.training.checks import check_batch, check_compiler, check_dataset, check_model, check_sync_norm
from nestedga.training.data.base import Dataset, Loader
from nestedga.training.data.loaders import make_loader
from nestedga.training.data.loaders.checks import check_strengths
from nestedga.training.data_parallel import DataParallel
from nestedga.training.flat import StepBuffer
from nestedga.training.member_settings import MemberSettings, Section
from nestedga.training.optimizer import check_arguments, check_live, drop_foreign, make_optimizer, set_rate, set_steps
from nestedga.training.precision import Precision
from nestedga.training.rate_schedules import Constant, RateSchedule
from nestedga.training.recipe import check_recipe, scaling
from nestedga.training.settings import TrainingConfig
from nestedga.training.state import pack, unpack
from nestedga.training.task import Task

LIVE_DATA = ("batch_size", "micro_batches", "augment")  # settings of the data section that are not the data set's ...
LOADER = "loader"  # ... nor is this one, with which it is served


class Components:
    """Brought to one member's settings after the other; rebuilds only what cannot be changed live.

    Args:
        build: makes an object of a ``_target_`` section (and positional arguments).
        training: the section of that name.
        parallel: the group.
        device: of this rank.

    Attributes:
        task, rate_schedule: of the member.
        dataset, loader: with which it is trained.
        model: the network itself, whose names stand in states.
        forward: the same to be called; compiled, where that is asked for.
        optimizer, step_buffer, precision: as their classes say.
        average: of the weights; None: not asked for.
    """

    task: Task
    rate_schedule: RateSchedule
    dataset: Dataset
    loader: Loader
    model: torch.nn.Module
    forward: torch.nn.Module
    optimizer: torch.optim.Optimizer
    step_buffer: StepBuffer
    precision: Precision

    _settings: MemberSettings

    def __init__(
        self, build: Callable[..., Any], training: TrainingConfig, parallel: DataParallel, device: torch.device
    ) -> None:
        self._build, self._training, self._parallel, self.device = build, training, parallel, device
        self._data: Any = None  # settings of what stands
        self._loader: Any = None
        self._model: Any = None
        self._compiled: Any = None
        self.average: Average | None = None

    def configure(self, settings: MemberSettings, init_key: int, fresh: bool) -> None:
        """Brings all to a member's settings.

        Args:
            settings: the member's.
            init_key: seed of whatever weights are built.
            fresh: build the model anew even where its settings are the same.
        """
        recipe = settings.recipe
        check_recipe(recipe)
        self._settings = settings
        self.task, self.rate_schedule = self._construct("task", settings.task), self._make_rate_schedule(settings)
        self._configure_data(settings)
        if recipe.sync_norm:
            check_sync_norm(settings, self._parallel.size)
        model = (settings.model, recipe.sync_norm, _maker(settings.model, settings))
        if fresh or model != self._model:
            self._model = None  # should it fail half-way
            self.seed(init_key)
            self._make_model(settings)
            self._model = model
        # Made anew for every member, so that nothing of the one before is left in it.
        self.optimizer = self._make_optimizer(self.model, settings)
        plain = self.rate_schedule == Constant() and recipe.lr_scaling == "none"
        if "lr" not in settings.optimizer and not plain:
            raise SettingError("optimizer.lr is missing, so schedule and recipe.lr_scaling have nothing to work on")
        if recipe.ema is None:
            self.average = None
        elif self.average is None:
            self.average = Average(self.model)

    def check(self, settings: MemberSettings) -> None:
        """Raises SettingError for what a member's settings show to be impossible beside what stands built."""
        check_recipe(settings.recipe)
        self._construct("task", settings.task)
        self._make_rate_schedule(settings)
        check_batch(settings.data, self.dataset.size("train"))
        check_strengths(getattr(self.dataset, "transform", None), settings.strengths)
        self._make_optimizer(self.model, settings)

    def rate(self, epochs: float) -> float | None:
        """The learning rate so far along the lineage; None: the section ``optimizer`` names none."""
        lr = self._settings.optimizer.get("lr")
        if lr is None:
            return None
        factor = scaling(self._settings.recipe, self._settings.data["batch_size"])
        return float(lr) * factor * self.rate_schedule(epochs)

    def set_rate(self, epochs: float) -> None:
        """Writes it into the live optimizer."""
        if (rate := self.rate(epochs)) is not None:
            set_rate(self.optimizer, rate)

    def check_live(self, epochs: float) -> None:
        """Reads all hyperparameters back from the live optimizer, whose last step began so far along the lineage."""
        check_live(self.optimizer, self._settings.optimizer, self.rate(epochs))

    def seed(self, draw: int) -> None:
        """Torch's generators. (``torch.manual_seed`` would note the whole stack for GPUs that nobody uses.)"""
        torch.default_generator.manual_seed(draw)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(draw)

    def laid_out(self, inputs: torch.Tensor) -> torch.Tensor:
        """Inputs as the model wants them in memory."""
        channels_last = self._training.channels_last and inputs.dim() == 4
        return inputs.contiguous(memory_format=torch.channels_last) if channels_last else inputs

    @contextmanager
    def measured_weights(self) -> Iterator[None]:
        """For a while, the model has the weights by which a member is judged."""
        if self.average is None:
            yield
        else:
            with self.average.in_place():
                yield

    def pack(self, counters: Mapping[str, int]) -> State:
        """The member's state."""
        return pack(self.model, self.optimizer, counters, self._others())

    def unpack(self, state: State) -> dict[str, int]:
        """Loads a state, after ``configure``. Gives the counters."""
        self.precision.restart()
        others = self._others()
        counters = unpack(state, self.model, self.optimizer, others)
        drop_foreign(self.optimizer, partial(self._make_optimizer, settings=self._settings))
        self.precision.load(others)
        if self.average is not None:
            self.average.restart(known={(entry.name, entry.shape) for entry in state.entries})
        set_steps(self.optimizer, counters["steps"])
        return counters

    def forget(self, device: torch.device) -> None:
        """Builds model and optimizer anew when next configured, and serves data to another device if it is one."""
        self._model = None
        if device != self.device:
            self.close()
            self.device = device

    def close(self) -> None:
        if self._loader is not None:
            self.loader.close()
            self._loader = None

    def _others(self) -> dict[str, torch.Tensor]:
        """What belongs to a state beside model and optimizer."""
        return {**(self.average.tensors if self.average is not None else {}), **self.precision.tensors()}

    def _configure_data(self, settings: MemberSettings) -> None:
        section = settings.data
        own = {name: value for name, value in section.items() if name not in (*LIVE_DATA, LOADER)}
        data = (own, _maker(section, settings))
        if data != self._data:
            self.close()
            self.dataset = self._make("data", own)
            check_dataset(self.dataset)
            self._data = data
        check_batch(section, self.dataset.size("train"))
        if (loader := section.get(LOADER, "torch")) != self._loader:
            self.close()
            self.loader = make_loader(loader, self.dataset, self.device)
            self._loader = loader

    def _make_rate_schedule(self, settings: MemberSettings) -> RateSchedule:
        rate_schedule = self._construct("schedule", settings.schedule)
        if not callable(rate_schedule):
            raise SettingError(f"schedule: {settings.schedule['_target_']} gives nothing that can be called")
        return rate_schedule  # type: ignore[no-any-return]

    def _make_optimizer(self, model: torch.nn.Module, settings: MemberSettings) -> torch.optim.Optimizer:
        section = settings.optimizer
        optimizer = make_optimizer(partial(self._construct, "optimizer", section), model, settings.recipe.decay_norms)
        check_arguments(optimizer, section)
        return optimizer

    def _make_model(self, settings: MemberSettings) -> None:
        for name in ("model", "forward", "optimizer", "step_buffer", "average"):
            self.__dict__.pop(name, None)  # two at once might not fit the device
        model = self._make("model", settings.model)
        check_model(model)
        if settings.recipe.sync_norm:
            from nestedga.training.norm import synchronise  # with torch's compiler, which takes a second

            model = synchronise(model, self._parallel)
        model = model.to(self.device)
        if self._training.channels_last:
            model = model.to(memory_format=torch.channels_last)
        self.model = self.forward = model
        self.step_buffer = StepBuffer(model)
        self.average = None
        if self._training.compile:
            check_compiler(self.device)
            from torch._inductor import config  # takes a second

            config.compile_threads = 1  # no processes forked off after MPI has started
            if settings.model != self._compiled:  # each code object may be compiled some eight times, no more
                torch.compiler.reset()
                self._compiled = settings.model
            self.forward = torch.compile(model)  # type: ignore[assignment]
        self.precision = Precision(self._training.precision, self.device)

    def _make(self, name: str, section: Section) -> Any:
        """The object that a section names, or that the task makes of it."""
        if "_target_" in section:
            return self._construct(name, section)
        kind, make = type(self.task).__name__, getattr(self.task, name, None)
        if make is None:
            raise SettingError(f"{name}._target_ is missing, and task {kind} makes no {name}; name a class there")
        try:
            inspect.signature(make).bind(**section)
        except TypeError as error:
            raise SettingError(f"{name}: {kind}.{name} does not fit its settings: {error}") from error
        return make(**section)

    def _construct(self, name: str, section: Section, *args: Any) -> Any:
        try:
            return self._build(section, *args)
        except SettingError:
            raise
        except PermissionError as error:
            raise SettingError(f"{name}: {error.filename} may not be read: {error.strerror}") from error
        except (TypeError, ValueError, AssertionError) as error:
            what = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise SettingError(f"{name}: {section.get('_target_')} takes no such settings: {what}") from error


def _maker(section: Section, settings: MemberSettings) -> Section | None:
    """The task's settings, where the task makes what a section describes."""
    return None if "_target_" in section else settings.task
