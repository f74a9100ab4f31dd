"""Numbers as people read them."""

from __future__ import annotations

import math


def figure(value: float) -> str:
    """Four decimals; whole numbers above 1, which count something, and large ones are short."""
    is_count = value.is_integer() and abs(value) > 1.0
    return short(value) if is_count or not abs(value) < 1000.0 else f"{value:.4f}"


def short(value: object) -> str:
    """Four digits, also within lists and mappings; a number that is none stands for a failure."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return "failed"
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e9 else f"{value:.4g}"
    if isinstance(value, list):
        return f"[{', '.join(map(short, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {short(item)}' for key, item in value.items())}}}"
    return str(value)
