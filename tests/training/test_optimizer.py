"""Optimizers: genes stand in the live object, whatever was inherited; momentum needs no correction."""

from functools import partial

import pytest
import torch

from nestedga.job.build import build
from nestedga.job.composition import CONF
from nestedga.job.configuration import Configuration
from nestedga.training.optimizer import check_live, drop_foreign, make_optimizer, set_rate

OPTIMIZERS = [path.stem for path in sorted((CONF / "optimizer").glob("*.yaml")) if path.stem != "none"]


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 3))


def section(name, *overrides):
    return Configuration([f"optimizer={name}", "space=none", *overrides]).plain()["optimizer"]


@pytest.mark.parametrize("decay_norms", [True, False])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_trains_with_its_hyperparameters(name, decay_norms):
    model, settings = network(), section(name)
    optimizer = make_optimizer(partial(build, settings), model, decay_norms)
    inputs, targets = torch.randn(32, 4), torch.randint(3, (32,))
    losses = []
    for _ in range(20):
        set_rate(optimizer, settings["lr"] / 2)
        optimizer.zero_grad(set_to_none=False)
        loss = torch.nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    check_live(optimizer, settings, settings["lr"] / 2)
    with pytest.raises(RuntimeError, match="optimizer.lr should be"):
        check_live(optimizer, settings, None)
    with pytest.raises(RuntimeError, match="optimizer.weight_decay should be 0.5"):
        check_live(optimizer, {**settings, "weight_decay": 0.5}, settings["lr"] / 2)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_norms_and_biases_are_not_decayed(name):
    model = network()
    settings = {**section(name), "weight_decay": 0.5}
    optimizer = make_optimizer(partial(build, settings), model, decay_norms=False)
    check_live(optimizer, settings, settings["lr"])
    decayed = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    for parameter in model.parameters():
        assert decayed[id(parameter)] == (0.5 if parameter.dim() > 1 else 0.0)
    optimizer.param_groups[1]["weight_decay"] = 0.5
    with pytest.raises(RuntimeError, match=r"optimizer.weight_decay should be 0\.0"):
        check_live(optimizer, settings, settings["lr"])


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_the_form_that_needs_no_momentum_correction(nesterov):
    """Goyal et al. 2017 (arXiv:1706.02677): eq. 9 as torch has it equals eq. 10 with momentum correction."""
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(5, dtype=torch.float64))
    optimizer = torch.optim.SGD([weight], lr=1.0, momentum=0.9, nesterov=nesterov)
    w, v, before = weight.detach().clone(), torch.zeros(5, dtype=torch.float64), 1.0
    uncorrected, v_uncorrected = w.clone(), v.clone()
    for rate in (0.1, 0.1, 0.5, 0.02, 0.02, 0.3):
        gradient = torch.randn(5, dtype=torch.float64)
        weight.grad = gradient.clone()
        set_rate(optimizer, rate)
        optimizer.step()
        v = 0.9 * (rate / before) * v + rate * gradient
        v_uncorrected = 0.9 * v_uncorrected + rate * gradient
        w -= 0.9 * v + rate * gradient if nesterov else v
        uncorrected -= 0.9 * v_uncorrected + rate * gradient if nesterov else v_uncorrected
        before = rate
    torch.testing.assert_close(weight.detach(), w, rtol=1e-12, atol=1e-12)
    assert (weight.detach() - uncorrected).abs().max() > 0.01


@pytest.mark.parametrize("before", OPTIMIZERS)
@pytest.mark.parametrize("after", OPTIMIZERS)
def test_an_optimizer_goes_on_only_with_what_its_own_kind_has_left(before, after):
    model = network()

    def trained(name):
        optimizer = make_optimizer(partial(build, section(name)), model, decay_norms=True)
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        return optimizer

    def kept(optimizer):
        return [sorted(values) for values in optimizer.state.values()]

    old, new = trained(before), trained(after)
    alike = kept(old) == kept(new)  # as sgd and lars, whose velocities are one thing
    new.state.clear()
    new.state.update({parameter: dict(values) for parameter, values in old.state.items()})
    drop_foreign(new, partial(make_optimizer, partial(build, section(after)), decay_norms=True))
    assert len(new.state) == (len(old.state) if alike else 0)
    new.step()


def test_a_switch_of_the_optimizer_begins_anew():
    model = network()
    plain = make_optimizer(partial(build, section("adamw")), model, decay_norms=True)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    plain.step()
    switched = section("adamw", "+optimizer.amsgrad=true")
    optimizer = make_optimizer(partial(build, switched), model, decay_norms=True)
    optimizer.state.update(plain.state)
    drop_foreign(optimizer, partial(make_optimizer, partial(build, switched), decay_norms=True))
    optimizer.step()
