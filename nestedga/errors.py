"""The errors that parts tell apart, and the name that may have been meant.

A leaf module: every part may raise them. ``__main__`` alone turns a ``SettingError`` into one line and exit code 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence


class SettingError(ValueError):
    """A setting has a value that cannot work; the message names setting, value and remedy in one line."""


class MemberFailed(Exception):
    """A member cannot be trained to its end, and no trace-back would tell why; further lines of the message may."""


class PartnerLost(Exception):
    """A collective of the group cannot be completed, because a partner has left it.

    An echo of what happened on the partner, whose own error tells the cause.
    """


def nearest(name: str, known: Sequence[str]) -> str:
    """Of the known names the one most alike; for a message."""
    return (difflib.get_close_matches(name, known, n=1, cutoff=0.0) or ["none"])[0]
