"""Names of random draws. No generator state is ever saved or inherited: every draw is named by whole numbers.

The first number is the seed of the run, or of a search inside another; what follows says whose draw it is. ``rng_for``
gives a generator; ``key`` gives one number, for generators of others, as torch's are, and of programs.

    search      rng_for(seed, member id)                          all draws that make a member
                rng_for(seed, member id or generation, purpose)   draws beside those, by a search's own constants
    a group     rng_for(seed, member id)                          what a child takes from which parent
                key(seed, member id)                              the seed that a program is given
                key(seed, INITIALISE, member id)                  fresh weights
                key(seed, SHUFFLE, member id, epoch)              the order of the samples
                key(seed, TRAIN, member id, step, piece)          dropout, augmentation, mixup
                key(seed, RECALIBRATE, member id)                 the samples for new batch statistics
"""

from __future__ import annotations

import hashlib
import struct

import numpy as np

INITIALISE, TRAIN, SHUFFLE, RECALIBRATE = 0, 1, 2, 3  # what a draw of training is for: the second number of its key


def rng_for(*numbers: int) -> np.random.Generator:
    """The generator of the draws that these numbers, 0 or more each, name; the same on every machine."""
    return np.random.default_rng(numbers)


def key(*numbers: int) -> int:
    """A well-mixed 63-bit seed from any numbers, negative ones too, the same on every machine."""
    digest = hashlib.blake2b(struct.pack(f"<{len(numbers)}q", *numbers), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
