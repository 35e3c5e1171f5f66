"""Returns: what an action led to, from rewards. numpy, time-major: [T] or [T, N]."""

from __future__ import annotations

import numpy as np

__all__ = ["discounted_returns"]


def discounted_returns(reward: np.ndarray, cut: np.ndarray, gamma: float) -> np.ndarray:
    """Return G_t = r_t + gamma * G_{t+1}, the sum starting afresh after every t where `cut` is true [T, N] float32.

    `reward` [T, N] and `cut` [T, N] bool; after the last row the sum is taken as 0, so rows behind a column's last cut hold
    partial sums. Sutton & Barto (2018), eq. 3.9; in Pong a cut at every point scored (Karpathy, 2016).

    >>> discounted_returns(np.array([[0.0], [1.0], [0.0], [1.0]]), np.array([[False], [True], [False], [True]]), 0.5)[:, 0]
    array([0.5, 1. , 0.5, 1. ], dtype=float32)
    """
    if reward.ndim != 2 or reward.shape != cut.shape:
        raise ValueError(f"reward {list(reward.shape)} and cut {list(cut.shape)} must have one shape [T, N]")
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma is {gamma}; a discount lies between 0 and 1")
    returns = np.empty(reward.shape, np.float32)
    following = np.zeros(reward.shape[1])
    for t in range(len(reward) - 1, -1, -1):
        following = reward[t] + gamma * np.where(cut[t], 0.0, following)
        returns[t] = following
    return returns
