"""Sections with a ``_target_`` become objects."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from nestedga.errors import SettingError

HYDRA_KEYS = ("_args_", "_convert_", "_partial_", "_recursive_")  # of a section, for hydra.utils.instantiate


def build(section: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
    """Makes the object of a ``_target_`` section, or calls its function.

    Where a setting is itself such a section with ``_partial_: true``, the object gets a function that builds it, to be
    called with what only the object knows.

    Raises:
        SettingError: the target cannot be found, or takes no such setting.
    """
    target = section.get("_target_")
    if target is None:
        raise SettingError(
            f"a section without _target_ cannot be built: {dict(section)}; name a class or function there"
        )
    inner = {
        key: partial(build, {name: setting for name, setting in value.items() if name != "_partial_"})
        for key, value in section.items()
        if isinstance(value, Mapping) and value.get("_partial_")
    }
    kwargs |= inner
    section = {key: value for key, value in section.items() if key not in inner}
    flat = not any(isinstance(value, Mapping | list) or key in HYDRA_KEYS for key, value in section.items())
    try:
        # Looking a target up takes Hydra a millisecond, so a plain function is called without.
        found, signature = _found(target)
        settings = {key: value for key, value in section.items() if key != "_target_"}
        make = partial(found, **settings) if flat else instantiate({**section, "_partial_": True, "_convert_": "all"})
    except InstantiationException as error:
        if isinstance(error.__cause__, SettingError):
            raise error.__cause__ from error
        reason = error.__cause__ or error
        raise SettingError(f"_target_={target} cannot be built: {' '.join(str(reason).split())}") from error
    if signature is not None:
        try:
            signature.bind(*make.args, *args, **{**make.keywords, **kwargs})
        except TypeError as error:
            known = ", ".join(signature.parameters)
            raise SettingError(f"_target_={target} does not fit its settings: {error}; it takes {known}") from error
    return make(*args, **kwargs)


def same_target(one: str, other: str) -> bool:
    """Whether two ``_target_`` name the same thing: one of them perhaps as an earlier version called it."""
    try:
        return bool(_found(one)[0] == _found(other)[0])
    except InstantiationException:
        return False


def default_of(target: str, argument: str) -> Any:
    """What a target takes where a setting is not given; None where it has to be, or cannot be known."""
    try:
        _, signature = _found(target)
    except InstantiationException:
        return None
    parameter = signature.parameters.get(argument) if signature else None
    if parameter is None or parameter.default is parameter.empty:
        return None
    return list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default  # as in a file


@cache
def _found(target: str) -> tuple[Callable[..., Any], inspect.Signature | None]:
    """What a target names, and what it takes; None for a built-in that does not say."""
    found = instantiate({"_target_": target, "_partial_": True}).func
    try:
        return found, inspect.signature(found)
    except ValueError:
        return found, None
