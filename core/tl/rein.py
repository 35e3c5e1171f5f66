"""Reinforcement-learning helpers under TensorLayer's names. Losses import TensorFlow when they are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.tl.errors import require
from core.tl.randomness import Rng, random_source

__all__ = ["choice_action_by_probs", "cross_entropy_reward_loss", "discount_episode_rewards", "log_weight"]


def discount_episode_rewards(rewards: np.ndarray, gamma: float = 0.99, mode: int = 0) -> np.ndarray:
    """Discounted return of every step of an episode.

    mode 0 starts afresh at every non-zero reward (in Pong a point ends a rally): each step gets the next non-zero
    reward, discounted by its distance. Rewards that are never zero are therefore returned undiscounted. Any other
    mode sums over the whole rest: R_t = r_t + gamma R_{t+1}.

    Args:
        rewards: numpy array [T] or [T, 1] of any real type. A list is refused, as in every TensorLayer.
        gamma: discount per step.
        mode: 0 to reset at non-zero rewards, anything else not to.

    Returns:
        float32 array of the same shape.

    Raises:
        AttributeError: rewards is no numpy array.
        ValueError: rewards has more than one column.

    >>> rewards = np.asarray([0, 0, 0, 1, 0, 0, 0, 1])
    >>> print(discount_episode_rewards(rewards, gamma=0.9))
    [0.729 0.81  0.9   1.    0.729 0.81  0.9   1.   ]
    >>> print(discount_episode_rewards(rewards, gamma=0.5, mode=1).round(3))
    [0.133 0.266 0.531 1.062 0.125 0.25  0.5   1.   ]
    """
    if rewards is None:
        raise ValueError("rewards must be a numpy array of one episode's rewards, not None")
    if not hasattr(rewards, "size"):
        raise AttributeError(f"rewards must be a numpy array, not a {type(rewards).__name__}: wrap it in np.asarray()")
    if rewards.size == 0:
        return np.zeros_like(rewards, dtype=np.float32)
    require(rewards.ndim >= 1 and rewards.size == len(rewards), f"rewards must be [T] or [T, 1], not {rewards.shape}")
    r = rewards.reshape(-1).astype(np.float64)  # [T]
    discounted = _until_next_reward(r, gamma) if mode == 0 else _to_the_end(r, gamma)
    return discounted.astype(np.float32).reshape(rewards.shape)


def _until_next_reward(r: np.ndarray, gamma: float) -> np.ndarray:
    steps = np.arange(len(r))
    end = np.where(r != 0, steps, len(r) - 1)  # NaN != 0: a NaN ends a rally too
    end = np.minimum.accumulate(end[::-1])[::-1]  # index of the next non-zero reward, or of the last step
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        return r[end] * np.power(float(gamma), end - steps)


def _to_the_end(r: np.ndarray, gamma: float) -> np.ndarray:
    from scipy.signal import lfilter

    return lfilter([1.0], [1.0, -float(gamma)], r[::-1])[::-1]


def cross_entropy_reward_loss(logits: Any, actions: Any, rewards: Any, name: str | None = None) -> Any:
    """Policy-gradient loss: sum over steps of reward x cross entropy of the action taken.

    Args:
        logits: tensor [T, A] before the softmax.
        actions: integer tensor [T].
        rewards: tensor [T], usually discounted and normalised.
        name: name of the cross-entropy op.

    Returns:
        Scalar tensor (a sum, not a mean).

    >>> round(float(cross_entropy_reward_loss([[0.0, 0.0]] * 3, [0, 1, 1], [1.0, 1.0, 1.0])), 4)
    2.0794
    """
    import tensorflow as tf

    cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=actions, logits=logits, name=name)
    return tf.reduce_sum(cross_entropy * tf.cast(rewards, cross_entropy.dtype))


def log_weight(probs: Any, weights: Any, name: str = "log_weight") -> Any:
    """Mean of log(probs) * weights.

    Args:
        probs: tensor of probabilities, any shape.
        weights: tensor that broadcasts against ``probs``.
        name: name of the op.

    Returns:
        Scalar tensor.

    >>> float(log_weight(np.ones([2, 3], "float32"), np.ones([2, 3], "float32")))
    0.0
    """
    import tensorflow as tf

    return tf.reduce_mean(tf.math.log(probs) * weights, name=name)


def choice_action_by_probs(
    probs: Sequence[float] | np.ndarray = (0.5, 0.5),
    action_list: Sequence[Any] | None = None,
    *,
    rng: Rng = None,
) -> Any:
    """Draw one action.

    Args:
        probs: [A] probabilities that sum to one.
        action_list: [A] actions of any type; 0 .. A-1 without one.
        rng: source of randomness; numpy's global state without one.

    Returns:
        The action, as a numpy scalar.

    Raises:
        ValueError: the lengths differ, or the probabilities do not sum to one.

    >>> str(choice_action_by_probs([0.0, 1.0], ["left", "right"]))
    'right'
    """
    actions = np.arange(len(probs)) if action_list is None else action_list
    require(len(actions) == len(probs), f"{len(actions)} actions but {len(probs)} probabilities: give one for each")
    return random_source(rng).choice(actions, p=probs)
