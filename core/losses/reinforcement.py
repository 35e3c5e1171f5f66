"""Losses of reinforcement learning. Each returns one value per row [B]; the agent says whether to sum or average."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["categorical_entropy", "policy_gradient", "squared_error"]


def policy_gradient(logits: tf.Tensor, action: tf.Tensor, advantage: tf.Tensor) -> tf.Tensor:
    """Return -advantage * log pi(action) [B]: REINFORCE (Williams, 1992), its gradient is a policy-gradient step.

    logits [B, A] float32, action [B] int, advantage [B] float32, which is taken as a constant.
    """
    tf.debugging.assert_shapes([(logits, ("B", "A")), (action, ("B",)), (advantage, ("B",))])
    log_pi = -tf.nn.sparse_softmax_cross_entropy_with_logits(labels=action, logits=logits)  # [B]
    return -tf.stop_gradient(advantage) * log_pi


def categorical_entropy(logits: tf.Tensor) -> tf.Tensor:
    """Return -sum_a pi(a) log pi(a) [B] in nats, for logits [B, A]."""
    tf.debugging.assert_shapes([(logits, ("B", "A"))])
    log_pi = tf.nn.log_softmax(logits)
    return -tf.reduce_sum(tf.exp(log_pi) * log_pi, axis=-1)


def squared_error(prediction: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Return (target - prediction)^2 / 2 [B], for prediction [B] and a constant target [B]."""
    tf.debugging.assert_shapes([(prediction, ("B",)), (target, ("B",))])
    return 0.5 * tf.square(tf.stop_gradient(target) - prediction)
