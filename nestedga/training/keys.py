"""Keys of random draws. No generator state is ever saved or inherited: every draw is named by numbers."""

from __future__ import annotations

import hashlib
import struct

INITIALISE, TRAIN, SHUFFLE, RECALIBRATE = 0, 1, 2, 3  # what a draw is for


def key(*numbers: int) -> int:
    """A well-mixed 63-bit seed from any numbers, the same on every machine."""
    digest = hashlib.blake2b(struct.pack(f"<{len(numbers)}q", *numbers), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
