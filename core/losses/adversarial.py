"""Losses of adversarial training. Logits [B] float32 in, a scalar mean over the batch out; sigmoid and log happen in here.

`real` and `fake` are D's or the critic's raw outputs C(x_r), C(x_f). Every loss is minimised.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

__all__ = [
    "critic_gradient_penalty",
    "hinge_discriminator",
    "hinge_generator",
    "least_squares_discriminator",
    "least_squares_generator",
    "nonsaturating_generator",
    "saturating_generator",
    "standard_discriminator",
    "wasserstein_critic",
    "wasserstein_generator",
    "zero_centred_penalty",
]

Network = Callable[[tf.Tensor], tf.Tensor]


def _two_vectors(real: tf.Tensor, fake: tf.Tensor) -> None:
    tf.debugging.assert_shapes([(real, ("R",)), (fake, ("F",))])


def _vector(fake: tf.Tensor) -> None:
    tf.debugging.assert_shapes([(fake, ("F",))])


def standard_discriminator(real: tf.Tensor, fake: tf.Tensor, real_label: float = 1.0) -> tf.Tensor:
    """Return -E[log D(x_r)] - E[log(1 - D(x_f))], D = sigmoid(C) (Goodfellow et al., 2014, eq. 1).

    `real_label` below 1 is one-sided label smoothing (Salimans et al., 2016): the target of D(x_r), that of D(x_f) stays 0.
    """
    _two_vectors(real, fake)
    loss_real = tf.nn.softplus(-real) + (1.0 - real_label) * real  # cross entropy with the label, on logits
    return tf.reduce_mean(loss_real) + tf.reduce_mean(tf.nn.softplus(fake))


def nonsaturating_generator(fake: tf.Tensor) -> tf.Tensor:
    """Return -E[log D(x_f)] (Goodfellow et al., 2014, section 3)."""
    _vector(fake)
    return tf.reduce_mean(tf.nn.softplus(-fake))


def saturating_generator(fake: tf.Tensor) -> tf.Tensor:
    """Return E[log(1 - D(x_f))], the minimax form, whose gradient vanishes where D is sure (Goodfellow et al., 2014, eq. 1)."""
    _vector(fake)
    return -tf.reduce_mean(tf.nn.softplus(fake))


def least_squares_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Return E[(C(x_r) - 1)^2] / 2 + E[C(x_f)^2] / 2 (Mao et al., 2017, eq. 9)."""
    _two_vectors(real, fake)
    return 0.5 * tf.reduce_mean(tf.square(real - 1.0)) + 0.5 * tf.reduce_mean(tf.square(fake))


def least_squares_generator(fake: tf.Tensor) -> tf.Tensor:
    """Return E[(C(x_f) - 1)^2] / 2 (Mao et al., 2017, eq. 9)."""
    _vector(fake)
    return 0.5 * tf.reduce_mean(tf.square(fake - 1.0))


def hinge_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Return E[max(0, 1 - C(x_r))] + E[max(0, 1 + C(x_f))] (Miyato et al., 2018, eq. 16)."""
    _two_vectors(real, fake)
    return tf.reduce_mean(tf.nn.relu(1.0 - real)) + tf.reduce_mean(tf.nn.relu(1.0 + fake))


def hinge_generator(fake: tf.Tensor) -> tf.Tensor:
    """Return -E[C(x_f)] (Miyato et al., 2018, eq. 17)."""
    _vector(fake)
    return -tf.reduce_mean(fake)


def wasserstein_critic(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Return E[C(x_f)] - E[C(x_r)], minus the Wasserstein estimate (Arjovsky et al., 2017, Algorithm 1)."""
    _two_vectors(real, fake)
    return tf.reduce_mean(fake) - tf.reduce_mean(real)


def wasserstein_generator(fake: tf.Tensor) -> tf.Tensor:
    """Return -E[C(x_f)] (Arjovsky et al., 2017, Algorithm 1)."""
    _vector(fake)
    return -tf.reduce_mean(fake)


def critic_gradient_penalty(critic: Network, real: tf.Tensor, fake: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    """Return E[(|grad_x C(x)| - 1)^2] at x = alpha x_r + (1 - alpha) x_f (Gulrajani et al., 2017, eq. 3).

    real, fake [B, ...]; alpha [B] uniform in [0, 1), one per example; the norm runs over all axes but the batch. 1e-12
    inside the square root keeps the gradient finite where the norm is 0.
    """
    tf.debugging.assert_shapes([(alpha, ("B",))])
    tf.debugging.assert_equal(tf.shape(real), tf.shape(fake), "real and fake must have one shape [B, ...]")
    tf.debugging.assert_equal(tf.shape(real)[0], tf.shape(alpha)[0], "alpha must hold one number for each example")
    alpha = tf.reshape(alpha, [-1] + [1] * (len(real.shape) - 1))
    x = alpha * real + (1.0 - alpha) * fake
    norm = tf.sqrt(_squared_norm_of_gradient(critic, x) + 1e-12)  # [B]
    return tf.reduce_mean(tf.square(norm - 1.0))


def zero_centred_penalty(critic: Network, x: tf.Tensor) -> tf.Tensor:
    """Return E[|grad_x C(x)|^2] / 2 for x [B, ...]: R1 on real examples, R2 on generated ones (Mescheder et al., 2018, eq. 9)."""
    return 0.5 * tf.reduce_mean(_squared_norm_of_gradient(critic, x))


def _squared_norm_of_gradient(critic: Network, x: tf.Tensor) -> tf.Tensor:
    """Return |grad_x C(x)|^2 [B], itself differentiable in the critic's weights."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        output = critic(x)
    gradient = tf.cast(tape.gradient(output, x), tf.float32)
    return tf.reduce_sum(tf.square(gradient), axis=list(range(1, len(x.shape))))
