"""How often a picture finds what belongs to it among several: its own caption, another picture of its kind."""

from __future__ import annotations

import numpy as np

__all__ = ["nearest", "recall_at_1"]

ROWS = 1000  # of x in one matrix of distances


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


def nearest(x: np.ndarray, among: np.ndarray, k: int = 1) -> np.ndarray:
    """Return which k rows of `among` [M, D] are nearest to each row of x [N, D], the nearest first, [N, k] int.

    Raises ValueError for rows of another length and for fewer than k of them.
    """
    if x.ndim != 2 or among.ndim != 2 or x.shape[1] != among.shape[1] or not 1 <= k <= len(among):
        raise ValueError(
            f"{k} nearest of {list(among.shape)} to {list(x.shape)}; [M, D] and [N, D] with M >= k are needed"
        )
    # Around their mean: of vectors that are long beside their differences float32 would keep little.
    x, among = (a.astype(np.float32) - among.mean(axis=0, dtype=np.float32) for a in (x, among))
    own = np.einsum("md,md->m", among, among)
    found = []
    for start in range(0, len(x), ROWS):
        distances = own - 2 * x[start : start + ROWS] @ among.T  # [n, M], squared, without the term that all share
        some = np.argpartition(distances, k - 1, axis=1)[:, :k]
        order = np.take_along_axis(distances, some, axis=1).argsort(axis=1, kind="stable")
        found.append(np.take_along_axis(some, order, axis=1))
    return np.concatenate(found) if found else np.empty((0, k), int)
