"""A member's optimizer, made with its genes, and these read back: an inherited state must never replace them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from nestedga.errors import SettingError, nearest

EXEMPT = "exempt"  # our mark in a parameter group whose parameters are not decayed


def make_optimizer(
    build: Callable[..., torch.optim.Optimizer], model: torch.nn.Module, decay_norms: bool
) -> torch.optim.Optimizer:
    """The member's optimizer.

    Args:
        build: makes it for parameters, or groups of them.
        model: whose parameters.
        decay_norms: False: no weight decay on vectors and scalars, which are the parameters of norms, and biases (He et
            al. 2019, arXiv:1812.01187, section 3.1).
    """
    parameters = list(model.parameters())
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in parameters if parameter.dim() > 1], EXEMPT: False},
        {"params": [parameter for parameter in parameters if parameter.dim() <= 1], EXEMPT: True, "weight_decay": 0.0},
    ]
    return build(parameters if decay_norms else [group for group in groups if group["params"]])


def check_arguments(optimizer: torch.optim.Optimizer, section: Mapping[str, Any]) -> None:
    """Refuses what an optimizer would swallow unread (those of pytorch_optimizer do), or could not be stepped with.

    Args:
        optimizer: just made.
        section: of the configuration, which it was made of.
    """
    kind = type(optimizer)
    if section.get("_target_", "").rpartition(".")[2] == kind.__name__:
        known = [name for name in inspect.signature(kind).parameters if name not in ("params", "args", "kwargs")]
        for name in section:
            if name not in ("_target_", *known):
                raise SettingError(
                    f"optimizer.{name}: {kind.__name__} knows no such argument; the nearest is {nearest(name, known)}"
                )
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise SettingError(f"optimizer: {kind.__name__} computes the loss several times a step, which is not done here")


def drop_foreign(optimizer: torch.optim.Optimizer, make: Callable[[torch.nn.Module], torch.optim.Optimizer]) -> None:
    """Drops what an optimizer of another kind, or with other switches (momentum, amsgrad), has left for a parameter.

    It would be misread, or stay for ever. What belongs there is what a tiny optimizer of the same making keeps after
    one step; where that cannot step on parameters of one number each, nobody knows, and everything stays.
    """
    if not optimizer.state:
        return
    tiny = torch.nn.ParameterList(torch.zeros((1,) * dimension) for dimension in sorted(_dimensions(optimizer)))
    for parameter in tiny:
        parameter.grad = torch.zeros_like(parameter)
    trial = make(tiny)
    try:
        trial.step()
    except Exception:  # noqa: BLE001 (a stranger's optimizer)
        return
    wanted = {parameter.dim(): _kept(trial, parameter) for parameter in tiny}
    for parameter in list(optimizer.state):
        if _kept(optimizer, parameter) != wanted[parameter.dim()]:
            del optimizer.state[parameter]


def _dimensions(optimizer: torch.optim.Optimizer) -> set[int]:
    return {parameter.dim() for group in optimizer.param_groups for parameter in group["params"]}


def _kept(optimizer: torch.optim.Optimizer, parameter: torch.Tensor) -> set[str]:
    return {key for key, value in optimizer.state.get(parameter, {}).items() if torch.is_tensor(value)}


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Writes the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def set_steps(optimizer: torch.optim.Optimizer, steps: int) -> None:
    """Some optimizers (those of pytorch_optimizer) count steps in their groups, which no state holds."""
    for group in optimizer.param_groups:
        group["step"] = steps


def check_live(optimizer: torch.optim.Optimizer, section: Mapping[str, Any], rate: float | None) -> None:
    """Reads the hyperparameters back from the live optimizer.

    Args:
        optimizer: live.
        section: the member's.
        rate: what schedule and scaling have made of ``lr``; None: the section has none.

    Raises:
        RuntimeError: one is not what it should be.
    """
    wanted = {**section, **({} if rate is None else {"lr": rate})}
    for group in optimizer.param_groups:
        for name, value in wanted.items():
            expected = 0.0 if name == "weight_decay" and group.get(EXEMPT) else _like(value)
            if name in group and _like(group[name]) != expected:
                raise RuntimeError(f"optimizer.{name} should be {expected} and is {group[name]} in the live optimizer")


def _like(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value  # betas and the like
