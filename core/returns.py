"""Returns: what an action led to, from rewards. numpy, time-major: [T, N].

`terminated` says that the episode really ended, so nothing follows; `done` that it ended or was truncated, so the next row
belongs to another episode. `next_value` [T, N] is V of the state that the action led to: of the old episode's last
observation where `done`, otherwise of the next row's.
"""

from __future__ import annotations

import numpy as np

__all__ = ["discounted_returns", "generalized_advantage", "lambda_returns", "n_step_returns"]


def discounted_returns(reward: np.ndarray, cut: np.ndarray, gamma: float) -> np.ndarray:
    """Return G_t = r_t + gamma * G_{t+1}, the sum starting afresh after every t where `cut` is true [T, N] float32.

    `reward` [T, N] and `cut` [T, N] bool; after the last row the sum is taken as 0, so rows behind a column's last cut hold
    partial sums. Sutton & Barto (2018), eq. 3.9; in Pong a cut at every point scored (Karpathy, 2016).

    >>> discounted_returns(np.array([[0.0], [1.0], [0.0], [1.0]]), np.array([[False], [True], [False], [True]]), 0.5)[:, 0]
    array([0.5, 1. , 0.5, 1. ], dtype=float32)
    """
    _check(gamma, 1.0, reward=reward, cut=cut)
    returns = np.empty(reward.shape, np.float32)
    following = np.zeros(reward.shape[1])
    for t in range(len(reward) - 1, -1, -1):
        following = reward[t] + gamma * np.where(cut[t], 0.0, following)
        returns[t] = following
    return returns


def n_step_returns(
    reward: np.ndarray, next_value: np.ndarray, terminated: np.ndarray, done: np.ndarray, gamma: float
) -> np.ndarray:
    """Return R_t = r_t + gamma R_{t+1}, bootstrapped from V after the last row and through truncation [T, N] float32.

    Each row looks as far ahead as the rollout goes: R_t = r_t + ... + gamma^k V(s_{t+k}) (Mnih et al., 2016, Algorithm S3).

    >>> one, no = np.ones((2, 1)), np.zeros((2, 1), bool)
    >>> n_step_returns(one, 10 * one, no, no, 0.5)[:, 0]  # 1 + 0.5 * (1 + 0.5 * 10), 1 + 0.5 * 10
    array([4., 6.], dtype=float32)
    """
    _check(gamma, 1.0, reward=reward, next_value=next_value, terminated=terminated, done=done)
    returns = np.empty(reward.shape, np.float32)
    following = next_value[-1]
    for t in range(len(reward) - 1, -1, -1):
        ahead = np.where(done[t], next_value[t], following)
        following = reward[t] + gamma * np.where(terminated[t], 0.0, ahead)
        returns[t] = following
    return returns


def lambda_returns(
    reward: np.ndarray, next_value: np.ndarray, terminated: np.ndarray, done: np.ndarray, gamma: float, lam: float
) -> np.ndarray:
    """Return R_t = r_t + gamma [(1 - lam) V(s_{t+1}) + lam R_{t+1}], V alone after the last row and at truncation [T, N] float32.

    lam = 0 is the one-step target, lam = 1 the n-step return. With V = max_a Q it is Peng's Q(lambda): the targets of PQN
    (Gallici et al., 2024, Algorithm 1). Sutton & Barto (2018), eq. 12.2, in its recursive form.

    >>> one, no = np.ones((2, 1)), np.zeros((2, 1), bool)
    >>> lambda_returns(one, 10 * one, no, no, 0.5, 0.5)[:, 0]  # 1 + 0.5 * (0.5 * 10 + 0.5 * 6), 1 + 0.5 * 10
    array([5., 6.], dtype=float32)
    """
    _check(gamma, lam, reward=reward, next_value=next_value, terminated=terminated, done=done)
    returns = np.empty(reward.shape, np.float32)
    following = next_value[-1]
    for t in range(len(reward) - 1, -1, -1):
        ahead = np.where(done[t], next_value[t], (1 - lam) * next_value[t] + lam * following)
        following = reward[t] + gamma * np.where(terminated[t], 0.0, ahead)
        returns[t] = following
    return returns


def generalized_advantage(
    reward: np.ndarray,
    value: np.ndarray,
    next_value: np.ndarray,
    terminated: np.ndarray,
    done: np.ndarray,
    gamma: float,
    lam: float,
) -> np.ndarray:
    """Return A_t = delta_t + gamma lam A_{t+1}, delta_t = r_t + gamma V(s_{t+1}) - V(s_t) [T, N] float32.

    The sum starts afresh after `done`. lam = 0 is the one-step TD error, lam = 1 the n-step return minus the value.
    Schulman et al. (2016), eq. 16.
    """
    _check(gamma, lam, reward=reward, value=value, next_value=next_value, terminated=terminated, done=done)
    delta = reward + gamma * np.where(terminated, 0.0, next_value) - value
    carry = gamma * lam * ~done
    advantage = np.empty(reward.shape, np.float32)
    following = np.zeros(reward.shape[1])
    for t in range(len(reward) - 1, -1, -1):
        following = delta[t] + carry[t] * following
        advantage[t] = following
    return advantage


def _check(gamma: float, lam: float, **arrays: np.ndarray) -> None:
    shapes = {name: list(array.shape) for name, array in arrays.items()}
    if any(len(shape) != 2 for shape in shapes.values()) or len({tuple(shape) for shape in shapes.values()}) != 1:
        raise ValueError(f"{', '.join(f'{name} {shape}' for name, shape in shapes.items())} must have one shape [T, N]")
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma is {gamma}; a discount lies between 0 and 1")
    if not 0 <= lam <= 1:
        raise ValueError(f"lam is {lam}; it must lie between 0 and 1")
