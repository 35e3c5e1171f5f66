"""Losses of reinforcement learning. Each returns one value per row [B]; the agent says whether to sum or average."""

from __future__ import annotations

import tensorflow as tf

__all__ = [
    "clipped_surrogate",
    "huber",
    "policy_gradient",
    "q_learning_error",
    "squared_error",
]

# --- policy gradients -------------------------------------------------------------------------------------------------


def policy_gradient(log_pi: tf.Tensor, advantage: tf.Tensor) -> tf.Tensor:
    """Return -advantage * log pi(a) [B]: REINFORCE (Williams, 1992), its gradient is a policy-gradient step.

    log_pi [B] float32; advantage [B] float32, which is taken as a constant.
    """
    tf.debugging.assert_shapes([(log_pi, ("B",)), (advantage, ("B",))])
    return -tf.stop_gradient(advantage) * log_pi


def clipped_surrogate(log_pi: tf.Tensor, log_pi_old: tf.Tensor, advantage: tf.Tensor, clip: float) -> tf.Tensor:
    """Return -min(ratio A, clip(ratio, 1 - clip, 1 + clip) A) [B], ratio = pi / pi_old (Schulman et al., 2017, eq. 7).

    Only log_pi [B] carries a gradient; where the ratio has left the interval in the direction that A rewards it is 0.
    """
    tf.debugging.assert_shapes([(log_pi, ("B",)), (log_pi_old, ("B",)), (advantage, ("B",))])
    A = tf.stop_gradient(advantage)
    ratio = tf.exp(log_pi - tf.stop_gradient(log_pi_old))
    return -tf.minimum(ratio * A, tf.clip_by_value(ratio, 1 - clip, 1 + clip) * A)


# --- values -----------------------------------------------------------------------------------------------------------


def squared_error(prediction: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Return (target - prediction)^2 / 2 [B], for prediction [B] and a constant target [B]."""
    tf.debugging.assert_shapes([(prediction, ("B",)), (target, ("B",))])
    return 0.5 * tf.square(tf.stop_gradient(target) - prediction)


def huber(error: tf.Tensor, delta: float = 1.0) -> tf.Tensor:
    """Return error^2 / 2 within +-delta and delta (|error| - delta / 2) beyond [B] (Huber, 1964).

    Its gradient is the error clipped to +-delta, which is what "clipping the error term" means in Mnih et al. (2015), Methods.
    """
    tf.debugging.assert_shapes([(error, ("B",))])
    inside = tf.clip_by_value(error, -delta, delta)
    return inside * error - 0.5 * tf.square(inside)


def q_learning_error(
    q_tm1: tf.Tensor,
    a_tm1: tf.Tensor,
    r_t: tf.Tensor,
    discount_t: tf.Tensor,
    q_t_target: tf.Tensor,
    q_t_selector: tf.Tensor | None = None,
) -> tf.Tensor:
    """Return r_t + discount_t Q'(s_t, argmax_a Q''(s_t, a)) - Q(s_tm1, a_tm1) [B]; the first two terms are constants.

    q_tm1 [B, A] are the learning network's values, a_tm1 [B] int, r_t [B], discount_t [B] (gamma^n, 0 after an end),
    q_t_target [B, A] the fixed network's values Q' (Mnih et al., 2015, Algorithm 1). `q_t_selector` [B, A] are the values Q''
    that choose the action, Q' itself if None; the learning network's for double Q-learning (van Hasselt et al., 2016, eq. 4).
    """
    tf.debugging.assert_shapes(
        [(q_tm1, ("B", "A")), (a_tm1, ("B",)), (r_t, ("B",)), (discount_t, ("B",)), (q_t_target, ("B", "A"))]
    )
    q_a_tm1 = tf.gather(q_tm1, a_tm1, batch_dims=1)
    a_t = tf.argmax(q_t_target if q_t_selector is None else q_t_selector, axis=-1)
    target = r_t + discount_t * tf.gather(q_t_target, a_t, batch_dims=1)
    return tf.stop_gradient(target) - q_a_tm1
