"""What stands built: settings that cannot work are named, sections without a class go to the task, states come back."""

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nestedga.errors import SettingError
from nestedga.job.build import build
from nestedga.job.configuration import Configuration
from nestedga.training.checks import check_training, probe
from nestedga.training.components import Components
from nestedga.training.data.synthetic import Synthetic
from nestedga.training.measuring import measure
from nestedga.training.member_settings import MemberSettings

ALONE = SimpleNamespace(rank=0, size=1, sum_=lambda tensor, name: None)
SMALL = ("data=synthetic", "data.num_samples=200", "data.fitness_size=50", "model.in_channels=3", "model.width=4")


def settings_of(*overrides):
    return MemberSettings.from_config(Configuration(overrides).plain())


def built(*overrides):
    settings = settings_of(*overrides)
    check_training(settings.training)
    components = Components(build, settings.training, ALONE, torch.device("cpu"))
    components.configure(settings, 1, fresh=True)
    probe(components, settings.strengths)
    return components


def small(*overrides):
    return built(*SMALL, *overrides)


def train(components, steps=3):
    """Some steps, as the loop does them."""
    components.model.train()
    for number in range(steps):
        torch.manual_seed(number)
        components.step_buffer.begin_step()
        with components.precision.autocast():
            inputs, targets = torch.randn(16, 3, 32, 32), torch.randint(10, (16,))
            loss = components.task.loss(components.forward, components.laid_out(inputs), targets)
        components.precision.backward(loss / 16)
        components.step_buffer.end_piece(loss, 16)
        components.step_buffer.average(16)
        components.precision.step(components.optimizer, components.step_buffer.gradients, None)
        if components.average is not None:
            components.average.update(0.9, number + 1)


def spoilt(inputs=None, targets=None, empty=None):
    """A data set with something wrong; section ``data`` says what."""

    class Spoilt(Synthetic):
        def __init__(self):
            super().__init__(num_samples=200, fitness_size=50)

        def size(self, split):
            return 0 if split == empty else super().size(split)

        def batch(self, split, indices):
            x, y = super().batch(split, indices)
            if inputs is not None:
                x = x.clone()
                x[3] = inputs
            return x, torch.full_like(y, targets) if targets is not None else y

    return Spoilt()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["+data.inputs=nan"], "1 of 64 train inputs hold NaN"),
        (["+data.targets=10"], "data has targets from 9 to 10, and model gives 10 classes"),
        (["+data.empty=fitness"], "no fitness samples"),
        (["+data.empty=train"], "the 0 training samples|no train samples"),
        (["model.in_channels=1"], r"do not take the data's inputs of shape \(64, 3, 32, 32\)"),
        (["data.batch_size=1000"], "data.batch_size=1000 must be from 1 to the "),
        (["data.micro_batches=65"], "data.micro_batches=65 must be from 1 to data.batch_size=64"),
        (["~data.micro_batches"], "data.micro_batches is missing"),
        (["~model._target_"], "model._target_ is missing, and task Classification makes no model"),
        (["recipe.lr_scaling=cubic"], "recipe.lr_scaling='cubic' is unknown; known: none, linear, sqrt"),
        (["recipe.ema=1.5"], "recipe.ema=1.5 must be"),
        (["recipe.clip_norm=0"], "recipe.clip_norm=0 must be"),
        (["recipe.sync_norm=true", "data.micro_batches=2"], "data.micro_batches=2, and a group has 1"),
        (["recipe.sync_norm=true", "groups.resplit=spare"], "use groups.resplit=never"),
        (["training.precision=int8"], "training.precision='int8' is unknown; use fp32, bf16, fp16"),
        (["~optimizer.lr", "schedule=cosine"], "optimizer.lr is missing"),
        (["optimizer=lamb", "+optimizer.wieght_decay=0.5"], "Lamb knows no such argument; the nearest is weight_decay"),
        (["optimizer=none", "+optimizer._target_=torch.optim.LBFGS"], "LBFGS computes the loss several times a step"),
        (["schedule=none", "+schedule._target_=types.SimpleNamespace"], "gives nothing that can be called"),
        (["model._target_=types.SimpleNamespace"], "model is a SimpleNamespace"),
    ],
)
def test_what_cannot_work_is_named(overrides, message):
    broken = any(text.startswith("+data.") for text in overrides)
    target = ["data._target_=tests.training.test_components.spoilt"] if broken else []
    drop = [f"~data.{name}" for name in ("num_samples", "fitness_size", "channels", "height", "width", "num_classes")]
    kept = (*SMALL[:1], *SMALL[3:]) if broken else SMALL
    with pytest.raises(SettingError, match=message) as caught:
        built(*kept, *target, *(drop if broken else []), *overrides)
    assert "\n" not in str(caught.value)


def closed_folder(**_):
    raise PermissionError(13, "Permission denied", "/closed")


def test_a_folder_that_may_not_be_read_is_named():
    with pytest.raises(SettingError, match=r"^data: /closed may not be read: Permission denied$"):
        built(f"data._target_={__name__}.closed_folder")


class Doubling:
    """A task that makes its data and network itself."""

    metrics = ("distance",)

    def data(self, num_samples=100):
        inputs = torch.arange(float(num_samples))[:, None]
        return SimpleNamespace(
            size=lambda split: num_samples, batch=lambda split, at: (inputs[at], 2 * inputs[torch.from_numpy(at)])
        )

    def model(self, bias=True):
        return torch.nn.Linear(1, 1, bias=bias)

    def loss(self, model, inputs, targets):
        return (model(inputs) - targets).square().sum()

    def measure(self, model, inputs, targets):
        return {"distance": (model(inputs) - targets).abs().sum()}


TASK = ("task=none", "+task._target_=tests.training.test_components.Doubling", "data=none", "model=none")
DATA = ("+data.batch_size=10", "+data.micro_batches=1", "+data.num_samples=130", "+model.bias=false")


def test_sections_without_a_class_are_the_tasks():
    components = built(*TASK, *DATA)
    with torch.no_grad():
        components.model.weight.fill_(3.0)
    assert measure(components, ALONE, "test", lambda: None) == {"distance": np.arange(130).mean()}
    wrong = settings_of(*TASK, *DATA, "+model.width=3")
    with pytest.raises(SettingError, match="model: Doubling.model does not fit its settings"):
        components.configure(wrong, 1, fresh=True)


class Careless(Doubling):
    """The same with one mistake."""

    def __init__(self, mistake):
        self._mistake = mistake

    def data(self, num_samples=100):
        data = super().data(num_samples)
        if self._mistake == "no batch":
            del data.batch
        elif self._mistake in ("numpy", "short"):
            whole = data.batch
            make = {"numpy": lambda x, y: (x, y.numpy()), "short": lambda x, y: (x[1:], y)}[self._mistake]
            data.batch = lambda split, at: make(*whole(split, at))
        return data

    def loss(self, model, inputs, targets):
        loss = super().loss(model, inputs, targets)
        return loss.item() if self._mistake == "float" else loss

    def measure(self, model, inputs, targets):
        measured = super().measure(model, inputs, targets)
        return {"distance": measured["distance"].item()} if self._mistake == "metric" else measured


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("none", None),
        ("no batch", "data: SimpleNamespace has no method batch"),
        ("numpy", "data: batch gives targets of type ndarray; make them torch tensors"),
        ("short", "data: batch gives 63 inputs where 64 train samples are asked for"),
        ("float", "task: loss is a float; make it a torch tensor of one number"),
        ("metric", "task: measure's distance is a float"),
    ],
)
def test_a_mistake_in_a_class_of_the_users_own_is_named(mistake, message):
    task = (*TASK[:1], f"+task._target_={__name__}.Careless", f"+task.mistake={mistake}", *TASK[2:])
    with pytest.raises(SettingError, match=message) if message else contextlib.nullcontext():
        built(*task, *DATA)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["recipe.ema=1.5"], "recipe.ema=1.5 must be"),
        (["data.batch_size=1000"], "data.batch_size=1000 must be from 1 to the "),
        (["optimizer.momentum=-1"], "optimizer: torch.optim.SGD takes no such settings: Invalid momentum"),
        (["task.label_smoothing=2"], "label_smoothing"),
        (["+data.augment.pad=0.5"], "data.augment.pad: this data set has no transform"),
    ],
)
def test_settings_of_a_member_are_checked_beside_what_stands(overrides, message):
    components = small()
    before = components.model, components.optimizer
    components.check(settings_of(*SMALL))
    with pytest.raises(SettingError, match=message):
        components.check(settings_of(*SMALL, *overrides))
    assert before == (components.model, components.optimizer)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_state_brings_back_average_and_scaler(precision):
    overrides = (f"training.precision={precision}", "recipe.ema=0.9")
    components, other = small(*overrides), small(*overrides)
    train(components)
    state = components.pack({"steps": 3, "samples": 48})
    assert ("scaler/scale" in state.arrays()) == (precision == "fp16")
    assert other.unpack(state) == {"steps": 3, "samples": 48}
    assert other.pack({"steps": 3, "samples": 48}).checksum == state.checksum
    train(components)
    train(other)
    assert other.pack({"steps": 6, "samples": 96}).checksum == components.pack({"steps": 6, "samples": 96}).checksum


def test_who_inherits_no_average_begins_with_the_weights():
    without, components = small(), small("recipe.ema=0.9")
    train(without)
    train(components, steps=1)
    components.unpack(without.pack({"steps": 3, "samples": 48}))
    for name, tensor in without.model.state_dict().items():
        if tensor.is_floating_point():
            assert torch.equal(components.average.tensors[f"ema/{name}"], tensor)


def test_the_average_follows_the_weights_and_is_what_is_measured():
    components = small("recipe.ema=0.9")
    begin = components.model.classify.bias.detach().clone()
    train(components, steps=1)
    weights, decay = components.model.classify.bias.detach().clone(), 2 / 11  # (1 + 1) / (10 + 1), below 0.9
    averaged = decay * begin + (1 - decay) * weights
    torch.testing.assert_close(components.average.tensors["ema/classify.bias"], averaged)
    with components.measured_weights():
        torch.testing.assert_close(components.model.classify.bias.detach(), averaged)
    assert torch.equal(components.model.classify.bias.detach(), weights)


def test_a_changed_gene_stands_in_the_live_optimizer_and_builds_no_model():
    recipe = ("recipe.decay_norms=false", "schedule=step", "schedule.milestones=[2]")
    components = small(*recipe)
    model = components.model
    genes = ("recipe.lr_scaling=linear", "optimizer.lr=0.4", "optimizer.weight_decay=0.03", "optimizer.momentum=0.5")
    settings = settings_of(*SMALL, *recipe, *genes)
    components.configure(settings, 2, fresh=False)
    assert components.model is model
    components.set_rate(2.5)
    components.check_live(2.5)
    for group, decay in zip(components.optimizer.param_groups, (0.03, 0.0), strict=True):
        assert (group["lr"], group["momentum"], group["weight_decay"]) == (
            pytest.approx(0.4 * 64 / 256 * 0.1),
            0.5,
            decay,
        )
    with pytest.raises(RuntimeError, match="optimizer.lr should be"):
        components.check_live(1.0)


def test_clipping_shortens_the_gradient_and_keeps_its_direction():
    components = small()
    components.step_buffer.gradients.copy_(torch.randn_like(components.step_buffer.gradients))
    before = components.step_buffer.gradients.clone()
    components.precision.step(components.optimizer, components.step_buffer.gradients, clip_norm=0.5)
    torch.testing.assert_close(components.step_buffer.gradients, before * (0.5 / before.norm()))
    components.precision.step(components.optimizer, components.step_buffer.gradients, clip_norm=2.0)
    torch.testing.assert_close(components.step_buffer.gradients, before * (0.5 / before.norm()))


def test_a_step_whose_fp16_gradients_overflow_is_left_out():
    components = small("training.precision=fp16")
    train(components, steps=1)
    before, scale = components.model.classify.bias.detach().clone(), components.precision.tensors()["scaler/scale"]
    components.step_buffer.gradients.fill_(float("inf"))
    components.precision.step(components.optimizer, components.step_buffer.gradients, clip_norm=1.0)
    assert torch.equal(components.model.classify.bias.detach(), before)
    assert components.precision.tensors()["scaler/scale"] == scale / 2
