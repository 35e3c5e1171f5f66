"""What agents export: functions from observations, as the environment gives them, to actions, as it takes them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from envs import VectorEnv

__all__ = ["gaussian_policy", "named", "softmax_policy", "takes_observations"]


def takes_observations(env: VectorEnv) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator: `function(observation)` becomes a `tf.function` over batches of what the environment shows.

    Numbers of states reach `function` counted from 0, whatever the environment calls the first.
    """
    space = env.observation_space

    def decorate(function: Callable[..., Any]) -> Any:
        @functools.wraps(function)
        def of_the_environment(observation: tf.Tensor) -> Any:
            return function(observation - env.first_state if env.first_state else observation)

        signature = [tf.TensorSpec((None, *space.shape), space.dtype, "observation")]
        return tf.function(of_the_environment, input_signature=signature)

    return decorate


def named(env: VectorEnv, action: tf.Tensor) -> tf.Tensor:
    """Return what the environment calls the actions [N], which count from 0."""
    return tf.gather(tf.constant(env.actions, tf.int64), action)


def softmax_policy(env: VectorEnv, logits: Callable[[tf.Tensor], tf.Tensor]) -> Any:
    """Return the function to export of a softmax policy whose `logits` maps a batch of observations to [N, A]."""

    @takes_observations(env)
    def act(observation: tf.Tensor) -> dict[str, tf.Tensor]:
        """The likeliest action [N], by the environment's number, and the probability [N, A] of each in turn to draw from."""
        probability = tf.nn.softmax(tf.cast(logits(observation), tf.float32))
        return {"action": named(env, tf.argmax(probability, axis=-1)), "probability": probability}

    return act


def gaussian_policy(
    env: VectorEnv,
    mean_and_log_std: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    low: np.ndarray,
    high: np.ndarray,
) -> Any:
    """Return the function to export of a diagonal Gaussian policy: observations -> (mean [N, A], log std [A])."""

    @takes_observations(env)
    def act(observation: tf.Tensor) -> dict[str, tf.Tensor]:
        """The likeliest action [N, A] within its bounds; mean [N, A] and std [N, A] of the policy it is the middle of."""
        mean, log_std = mean_and_log_std(observation)
        std = tf.broadcast_to(tf.exp(tf.convert_to_tensor(log_std)), tf.shape(mean))
        return {"action": tf.clip_by_value(mean, low, high), "mean": mean, "std": std}

    return act
