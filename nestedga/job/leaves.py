"""Settings as trees: sections within sections, with values at the leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def leaves(node: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Path and value of each setting, as in ``("optimizer.lr", 0.1)``; a list is one value, an empty section none.

    Args:
        node: a section of plain values, or one value.
        at: its own path.
    """
    if isinstance(node, dict):
        for key, child in node.items():
            yield from leaves(child, f"{at}.{key}" if at else str(key))
    else:
        yield at, node


def section_of(settings: dict[str, Any], path: str) -> Any:
    """The section that a setting lies in; None where there is no such place."""
    node: Any = settings
    for key in path.split(".")[:-1]:
        node = node.get(key) if isinstance(node, dict) else None
    return node
