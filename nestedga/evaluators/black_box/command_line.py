"""The section ``command``: argument lists with placeholders, and the values, among them genes, that fill them."""

from __future__ import annotations

import shutil
import string
from collections.abc import Mapping
from typing import Any

from nestedga.errors import SettingError, nearest

LISTS = ("arguments", "test_arguments")
GIVEN = ("budget", "checkpoint_in", "checkpoint_out", "member_id", "node_rank", "ranks", "result", "seed")
EXAMPLE = '[python,train.py,--lr,"{lr}"]'


class CommandLine:
    """One member's.

    Args:
        section: ``arguments``, ``test_arguments`` or null, and any number of values by name.

    Raises:
        SettingError: it cannot be filled; what is named and what is there do not match.
    """

    def __init__(self, section: Mapping[str, Any]) -> None:
        self._values = {name: _text_or_number(name, value) for name, value in section.items() if name not in LISTS}
        if taken := sorted(self._values.keys() & set(GIVEN)):
            raise SettingError(f"command.{taken[0]}: {{{taken[0]}}} is filled by the run itself; choose another name")
        self._arguments = {"arguments": _texts("arguments", section.get("arguments"))}
        if section.get("test_arguments") is not None:
            self._arguments["test_arguments"] = _texts("test_arguments", section["test_arguments"])
        self._names = {which: self._placeholders(which) for which in self._arguments}
        used: set[str] = set().union(*self._names.values())
        for name in self._values:
            if name not in used:
                raise SettingError(
                    f"command.{name} is used by nobody: command.{' and command.'.join(self._names)} have no "
                    f"{{{name}}}; the nearest is {nearest(name, sorted(used))}"
                )
        for which, names in self._names.items():
            if "checkpoint_in" in names and not self.uses("checkpoint_out"):
                raise SettingError(
                    f"command.{which} names {{checkpoint_in}}, but command.arguments no {{checkpoint_out}}: nothing "
                    "would ever be in it; name the folder into which the script saves"
                )

    def uses(self, name: str, which: str = "arguments") -> bool:
        """Whether a list names a placeholder."""
        return name in self._names.get(which, ())

    @property
    def has_test(self) -> bool:
        return "test_arguments" in self._arguments

    def fill(self, which: str, given: Mapping[str, Any]) -> list[str]:
        """The arguments with all placeholders filled; ``given`` has a value for each of ``GIVEN``.

        Raises:
            SettingError: a value does not take the format that its placeholder asks for, as in ``{width:d}``.
        """
        filled = []
        for argument in self._arguments[which]:
            try:
                filled.append(argument.format_map({**self._values, **given}))
            except (ValueError, TypeError) as error:
                raise SettingError(f"command.{which}: {argument!r} cannot be filled: {error}") from error
        return filled

    def check_programs(self) -> None:
        """Looks for the programs of both lists.

        Raises:
            SettingError: one is not there.
        """
        for which in self._arguments:
            program = self.fill(which, dict.fromkeys(GIVEN, 0))[0]
            if shutil.which(program) is None:
                raise SettingError(
                    f"command.{which} begins with {program!r}, which is no program here; name one that is on PATH, or "
                    "its whole path"
                )

    def _placeholders(self, which: str) -> set[str]:
        names = set()
        for argument in self._arguments[which]:
            try:
                fields = _fields(argument)
            except ValueError as error:
                raise SettingError(
                    f"command.{which}: {argument!r}: {error}; a brace that stands for itself is written twice"
                ) from error
            for name in fields:
                if name not in self._values and name not in GIVEN:
                    known = sorted({*self._values, *GIVEN})
                    raise SettingError(
                        f"command.{which}: nothing fills {{{name}}}; the nearest is {{{nearest(name, known)}}} "
                        f"(a new one is made with +command.{name or 'NAME'}=VALUE)"
                    )
            names.update(fields)
        return names


def _fields(text: str) -> list[str]:
    """Names of the placeholders, and of those in their formats, as in ``{lr:{width}}``."""
    parts = [(field, format_) for _, field, format_, _ in string.Formatter().parse(text) if field is not None]
    return [name for field, format_ in parts for name in (field, *_fields(format_ or ""))]


def _texts(which: str, arguments: Any) -> list[str]:
    if not isinstance(arguments, list) or not arguments:
        raise SettingError(
            f"command.{which}={arguments!r} runs nothing; list the program and its arguments, as in {EXAMPLE}"
        )
    for argument in arguments:
        if not isinstance(argument, str | int | float):
            raise SettingError(f"command.{which}: {argument!r} is no text; quote what has braces, as in {EXAMPLE}")
    return [str(_plain(argument)) for argument in arguments]


def _text_or_number(name: str, value: Any) -> str | int | float:
    if not isinstance(value, str | int | float):
        raise SettingError(f"command.{name}={value!r} must be a text, a number, true or false")
    return _plain(value)


def _plain(value: str | int | float) -> str | int | float:
    return str(value).lower() if isinstance(value, bool) else value  # true and false, as they are typed
