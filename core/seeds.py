"""Seeds by name: the one way to get a seed for a layer, a stream of random numbers or a worker."""

from __future__ import annotations

import hashlib
import json

__all__ = ["child"]


def child(seed: int, *names: str | int) -> int:
    """Return the seed, below 2^31, that belongs to `names` under `seed`: the first bits of the SHA-256 of all of them.

    Other names or another parent give a seed that has nothing to do with this one, so layers are told apart by being named
    apart: `child(seed, "hidden")` and `child(seed, "logits")`, `child(seed, "game", 3)`. Children can have children.

    >>> child(1, "hidden") == child(1, "logits"), child(1, "game", 1) == child(1, "game", "1")
    (False, False)

    Raises ValueError without a name: that would be the parent itself under another number.
    """
    if not names:
        raise ValueError("child needs at least one name")
    digest = hashlib.sha256(json.dumps([seed, *names]).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
