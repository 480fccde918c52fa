"""Randomness as a function of what it is for, never of what was drawn before."""

import hashlib


def derive(seed: int, *purpose: object) -> int:
    """A 31-bit seed for one purpose, such as (seed, "order", epoch); equal on every machine."""
    text = repr((seed, *purpose)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "big") >> 1
