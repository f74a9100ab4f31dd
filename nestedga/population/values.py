"""Values of genes: numbers, strings and booleans, and lists and mappings of such: plain data as JSON has them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable

from nestedga.population.member import GeneValue, Genotype

_WORD = re.compile(r"(?!(?:true|false|null|nan|inf)\Z)[a-z_][a-z0-9_]*", re.IGNORECASE)  # typed as it is, and a string


def is_plain(value: object) -> bool:
    """Whether a value survives journal and command line: its numbers are finite, keys of its mappings are words.

    Inside a list or a mapping there may be None as well, as in a section of the configuration.
    """
    if isinstance(value, list):
        return all(item is None or is_plain(item) for item in value)
    if isinstance(value, dict):
        keys_are_words = all(isinstance(key, str) and _WORD.fullmatch(key) for key in value)
        return keys_are_words and all(item is None or is_plain(item) for item in value.values())
    return isinstance(value, int | str) or (isinstance(value, float) and math.isfinite(value))


def same(a: object, b: object) -> bool:
    """Equal in value and type, all through lists and mappings."""
    if type(a) is not type(b) or a != b:  # True == 1 in Python, but not in a configuration
        return False
    if isinstance(a, list) and isinstance(b, list):
        return all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return all(same(value, b[key]) for key, value in a.items())
    return True


def distinct(values: Iterable[GeneValue]) -> tuple[GeneValue, ...]:
    """Each value once, in the order in which they first come; lists have no hash, and their JSON is told apart."""
    by_text: dict[str, GeneValue] = {}
    for value in values:
        by_text.setdefault(json.dumps(value, sort_keys=True), value)
    return tuple(by_text.values())


def typed(value: object) -> str:
    """A value as it is typed on the command line, in Hydra's grammar; no blanks around, for shells cut there."""
    if isinstance(value, list):
        return f"[{','.join(map(typed, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{typed(item)}' for key, item in value.items())}}}"
    if isinstance(value, str) and not _WORD.fullmatch(value):
        # A backslash is one unless it stands before a quote, as the closing one is.
        escaped = re.sub(r"(\\*)('|\Z)", lambda found: 2 * found[1] + ("\\'" if found[2] else ""), value)
        return f"'{escaped}'"
    return "null" if value is None else str(value)


def overrides(genotype: Genotype) -> list[str]:
    """A genotype as it is typed; a mapping is merged into what is there, so that its place is emptied before."""
    lines = []
    for path, value in genotype.items():
        if isinstance(value, dict):
            lines.append(f"{path}=null")
        lines.append(f"{path}={typed(value)}")
    return lines
