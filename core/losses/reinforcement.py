"""Losses of reinforcement learning. Each returns one value per row [B]; the agent says whether to sum or average."""

from __future__ import annotations

import tensorflow as tf

__all__ = [
    "categorical_kl",
    "categorical_projection",
    "clipped_surrogate",
    "huber",
    "munchausen_target",
    "policy_gradient",
    "q_learning_error",
    "quantile_huber",
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


def munchausen_target(
    q_tm1_target: tf.Tensor,
    a_tm1: tf.Tensor,
    r_t: tf.Tensor,
    discount_t: tf.Tensor,
    z_t_target: tf.Tensor,
    alpha: float,
    tau: float,
    clip: float,
) -> tf.Tensor:
    """Return r_t + alpha [tau log pi(a_tm1|s_tm1)]_clip^0 + discount_t sum_a pi(a|s_t) (z(s_t, a) - tau log pi(a|s_t)) [B, N].

    pi = softmax(q / tau) of the fixed network: q_tm1_target [B, A] are its values of s_tm1, z_t_target [B, A, N] what it says of
    s_t, the value itself (N = 1) or N quantiles, whose mean is the value. a_tm1 [B] int, r_t [B], discount_t [B].
    Vieillard et al. (2020), eq. 1 and its bound l_0 = clip below 0; with quantiles the paper's M-IQN. A constant.
    """
    tf.debugging.assert_shapes(
        [
            (q_tm1_target, ("B", "A")),
            (a_tm1, ("B",)),
            (r_t, ("B",)),
            (discount_t, ("B",)),
            (z_t_target, ("B", "A", "N")),
        ]
    )
    tau_log_pi_tm1 = tf.gather(tau * tf.nn.log_softmax(q_tm1_target / tau), a_tm1, batch_dims=1)  # [B]
    tau_log_pi_t = tau * tf.nn.log_softmax(tf.reduce_mean(z_t_target, axis=-1) / tau)  # [B, A]
    pi_t = tf.exp(tau_log_pi_t / tau)
    bonus = alpha * tf.clip_by_value(tau_log_pi_tm1, clip, 0.0)
    v_t = tf.reduce_sum(pi_t[..., None] * (z_t_target - tau_log_pi_t[..., None]), axis=1)  # [B, N]
    return tf.stop_gradient((r_t + bonus)[:, None] + discount_t[:, None] * v_t)


# --- distributions of returns -----------------------------------------------------------------------------------------


def categorical_projection(p_t: tf.Tensor, r_t: tf.Tensor, discount_t: tf.Tensor, atoms: tf.Tensor) -> tf.Tensor:
    """Return Phi T Z [B, Z]: the distribution of r_t + discount_t z, brought back onto the atoms; its probabilities sum to 1.

    p_t [B, Z] are the probabilities of `atoms` [Z], which are evenly spaced from v_min to v_max; r_t [B], discount_t [B]. Each
    r_t + discount_t z_j, kept between v_min and v_max, gives its probability to its two neighbours in proportion to their
    nearness: (Phi T Z)_i = sum_j p_j [1 - |[r_t + discount_t z_j]_vmin^vmax - z_i| / dz]_0^1 (Bellemare et al., 2017, eq. 7).
    """
    tf.debugging.assert_shapes([(p_t, ("B", "Z")), (r_t, ("B",)), (discount_t, ("B",)), (atoms, ("Z",))])
    v_min, v_max, dz = atoms[0], atoms[-1], atoms[1] - atoms[0]
    moved = tf.clip_by_value(r_t[:, None] + discount_t[:, None] * atoms, v_min, v_max)  # [B, Z], by j
    nearness = tf.clip_by_value(1 - tf.abs(moved[:, None, :] - atoms[:, None]) / dz, 0.0, 1.0)  # [B, Z, Z], by i, j
    return tf.linalg.matvec(nearness, p_t)


def categorical_kl(target: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return D_KL(target || softmax(logits)) [B], for a constant target [B, Z] and logits [B, Z].

    Its gradient is that of the cross entropy (Bellemare et al., 2017, Algorithm 1), and Rainbow's priorities follow it (Hessel
    et al., 2018).
    """
    tf.debugging.assert_shapes([(target, ("B", "Z")), (logits, ("B", "Z"))])
    m = tf.stop_gradient(target)
    return tf.reduce_sum(tf.math.xlogy(m, m) - m * tf.nn.log_softmax(logits), axis=-1)


def quantile_huber(theta: tf.Tensor, target: tf.Tensor, kappa: float = 1.0) -> tf.Tensor:
    """Return sum_i mean_j |tau_i - 1{u_ij < 0}| L_kappa(u_ij) / kappa [B], u_ij = target_j - theta_i, tau_i = (i - 1/2) / N.

    theta [B, N] are the quantiles of the learning network, target [B, M] samples of what they should be, a constant;
    L_kappa is the Huber loss (Dabney et al., 2018, eq. 10 and Algorithm 1).
    """
    tf.debugging.assert_shapes([(theta, ("B", "N")), (target, ("B", "M"))])
    N = theta.shape[1]
    tau = (tf.range(N, dtype=theta.dtype) + 0.5) / N  # [N]
    u = tf.stop_gradient(target)[:, None, :] - theta[:, :, None]  # [B, N, M]
    inside = tf.clip_by_value(u, -kappa, kappa)
    L = inside * u - 0.5 * tf.square(inside)  # [B, N, M]
    rho = tf.abs(tau[:, None] - tf.cast(u < 0, theta.dtype)) * L / kappa
    return tf.reduce_sum(tf.reduce_mean(rho, axis=2), axis=1)
