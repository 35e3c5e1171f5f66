"""How often a picture finds its own caption among several."""

from __future__ import annotations

import numpy as np

__all__ = ["recall_at_1"]


def recall_at_1(x: np.ndarray, v: np.ndarray) -> float:
    """Return the share of rows i whose own v_i has the largest cosine with x_i; x, v [N, D]. A tie counts as a miss.

    Raises ValueError for fewer than two rows, of which every one would find its own.
    """
    if len(x) < 2 or len(x) != len(v):
        raise ValueError(f"{len(x)} pictures and {len(v)} captions; as many of both, and at least 2, are needed")
    x, v = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (x, v))
    s = x @ v.T  # [N, N]
    others = np.where(np.eye(len(s), dtype=bool), -np.inf, s).max(axis=1)
    return float(np.mean(np.diag(s) > others))
