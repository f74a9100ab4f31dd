"""Keys of random draws. No generator state is ever saved or inherited: every draw is named by numbers."""

from __future__ import annotations

import hashlib
import struct

import numpy as np

INITIALISE, TRAIN, SHUFFLE, RECALIBRATE = 0, 1, 2, 3  # what a draw is for


def key(*numbers: int) -> int:
    """A well-mixed 63-bit seed from any numbers, the same on every machine."""
    digest = hashlib.blake2b(struct.pack(f"<{len(numbers)}q", *numbers), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def rng_for(seed: int, member_id: int) -> np.random.Generator:
    """The generator of all draws that make one member."""
    return np.random.default_rng([seed, member_id])
