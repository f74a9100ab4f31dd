"""The one error a user can cause: a setting that cannot be met.

A leaf module: every part may raise it, and ``__main__`` alone turns it into one line and exit code 2.
"""


class SettingError(ValueError):
    """A setting has a value that cannot work; the message names setting, value and remedy in one line."""
