"""The one error a user can cause: a setting that cannot be met; and the name that may have been meant.

A leaf module: every part may raise it, and ``__main__`` alone turns it into one line and exit code 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence


class SettingError(ValueError):
    """A setting has a value that cannot work; the message names setting, value and remedy in one line."""


def nearest(name: str, known: Sequence[str]) -> str:
    """Of the known names the one most alike; for a message."""
    return (difflib.get_close_matches(name, known, n=1, cutoff=0.0) or ["none"])[0]
