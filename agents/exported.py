"""What agents export: functions from observations, as the environment gives them, to actions, as it takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from gymnasium.spaces import Space

__all__ = ["gaussian_policy", "softmax_policy", "takes_observations"]


def takes_observations(space: Space) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator: `function(observation)` becomes a `tf.function` over batches of the space's observations."""
    return tf.function(input_signature=[tf.TensorSpec((None, *space.shape), space.dtype, "observation")])


def softmax_policy(space: Space, logits: Callable[[tf.Tensor], tf.Tensor]) -> Any:
    """Return the function to export of a softmax policy whose `logits` maps a batch of observations to [N, A]."""

    @takes_observations(space)
    def act(observation: tf.Tensor) -> dict[str, tf.Tensor]:
        """The likeliest action [N] and the probability [N, A] of each; draw from the latter for a stochastic policy."""
        probability = tf.nn.softmax(tf.cast(logits(observation), tf.float32))
        return {"action": tf.argmax(probability, axis=-1), "probability": probability}

    return act


def gaussian_policy(
    space: Space,
    mean_and_log_std: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    low: np.ndarray,
    high: np.ndarray,
) -> Any:
    """Return the function to export of a diagonal Gaussian policy: observations -> (mean [N, A], log std [A])."""

    @takes_observations(space)
    def act(observation: tf.Tensor) -> dict[str, tf.Tensor]:
        """The likeliest action [N, A] within its bounds; mean [N, A] and std [N, A] of the policy it is the middle of."""
        mean, log_std = mean_and_log_std(observation)
        std = tf.broadcast_to(tf.exp(tf.convert_to_tensor(log_std)), tf.shape(mean))
        return {"action": tf.clip_by_value(mean, low, high), "mean": mean, "std": std}

    return act
