"""Chance without a generator: any fact about anyone is a hash of numbers, so nothing is stored.

Knows nothing of people or organisations.
"""

from __future__ import annotations

import zlib

_MASK = (1 << 64) - 1


def mix(*numbers: int) -> int:
    """Return 64 well-spread bits of nothing but the numbers (SplitMix64's finaliser)."""
    mixed = 0
    for number in numbers:
        mixed = (mixed + number + 0x9E3779B97F4A7C15) & _MASK
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        mixed ^= mixed >> 31
    return mixed


def seed_of(text: str) -> int:
    """Return a seed that is the same in every process, which `hash()` is not."""
    return zlib.crc32(text.lower().encode())
