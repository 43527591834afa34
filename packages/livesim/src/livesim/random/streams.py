"""Keys and uniforms in plain Python: a number is a hash of (seed, replication, stream, job, how many drawn there).

Each level of the key hashes the level above it with an index, `mix(key + index * STEP)`, where `mix` is SplitMix64's
finalizer (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"). Nothing is carried from draw
to draw: two scenarios share a job's random numbers whatever else happens in them, in whatever order.
`livesim.random.compiled` holds the same for Numba.
"""

from __future__ import annotations

import hashlib

MASK = 2**64 - 1
MIX_1 = 0xBF58476D1CE4E5B9
MIX_2 = 0x94D049BB133111EB

# One odd step a level, so that no index of one level stands for an index of another.
SEED_STEP = 0x9E3779B97F4A7C15  # 2^64 divided by the golden ratio
REPLICATION_STEP = 0xD1B54A32D192ED03  # by the plastic number, and by its square
STREAM_STEP = 0xABC98388FB8FAC03
JOB_STEP = 0x9E3779B97F4A7C15
DRAW_STEP = 0xD1342543DE82EF95  # Steele and Vigna 2021, "Computationally easy, spectrally good multipliers"


def mix(word: int) -> int:
    """SplitMix64's finalizer: a bijection of 64-bit words with full avalanche."""
    word = ((word ^ (word >> 30)) * MIX_1) & MASK
    word = ((word ^ (word >> 27)) * MIX_2) & MASK
    return word ^ (word >> 31)


def replication_key(seed: int, replication: int) -> int:
    """The key of a replication, from which every key in it follows; both indices are below 2^64."""
    return mix((mix((seed + SEED_STEP) & MASK) + replication * REPLICATION_STEP) & MASK)


def stream_key(replication: int, stream: int) -> int:
    """The key of a stream, which is one purpose in a model: a source's gaps, a step's durations."""
    return mix((replication + stream * STREAM_STEP) & MASK)


def job_key(stream: int, job: int) -> int:
    """The key of a job in a stream: the `key` of `draw`."""
    return mix((stream + job * JOB_STEP) & MASK)


def bits(key: int, counter: int) -> int:
    """The 64 random bits of a job's key at a counter."""
    return mix((key + counter * DRAW_STEP) & MASK)


def uniform(key: int, counter: int) -> float:
    """A uniform on the open interval (0, 1): an odd multiple of 2^-53, so neither it nor 1 minus it is 0."""
    return (bits(key, counter) >> 12) * 2.0**-52 + 2.0**-53


def stream_number(name: str) -> int:
    """A stream's number from its name, so that a step added to a model moves no other stream's numbers.

    >>> stream_number("customer/hold 2")
    17796088367380237879
    """
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
