"""Random seeds derived from their purpose, independent of earlier draws."""

import hashlib


def derive_seed(seed: int, *purpose: object) -> int:
    """Return a 31-bit seed for one purpose, such as (seed, "order", epoch).

    It is the same on every machine.
    """
    text = repr((seed, *purpose)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "big") >> 1
