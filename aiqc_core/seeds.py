"""Derive seeds from a parent's seed and stable names, never from order or time."""

from __future__ import annotations

import hashlib

SEED_BITS = 31


def derive(parent: int, *parts: object) -> int:
    """Return a seed in [0, 2**31) for something that belongs to a parent.

    >>> derive(7, "fold", 0) == derive(7, "fold", 0)
    True
    >>> derive(7, "fold", 0) == derive(7, "fold", 1)
    False
    """
    text = "/".join(str(part) for part in (parent, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> (32 - SEED_BITS)
