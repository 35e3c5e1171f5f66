"""Terms of the evidence lower bound (Kingma and Welling, 2014, https://arxiv.org/abs/1312.6114), in nats.

Likelihoods are summed over pixels and channels, divergences are per latent; whoever calls sums the latents and averages the
batch. A mean over pixels instead would silently be another beta.
"""

from __future__ import annotations

import math

import tensorflow as tf

__all__ = ["bernoulli_nll", "gaussian_kl", "gaussian_nll", "importance_weighted_nll"]


def bernoulli_nll(logits: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Return -log p(x | z) [B] for independent Bernoulli pixels: logits and x [B, ...], x in [0, 1]."""
    _same_shape(logits, x)
    cross_entropy = tf.nn.softplus(logits) - x * logits  # fewer passes than TensorFlow's own of the same value
    return tf.reduce_sum(cross_entropy, axis=list(range(1, len(x.shape))))


def gaussian_nll(mean: tf.Tensor, x: tf.Tensor, sigma: float = 1.0) -> tf.Tensor:
    """Return -log N(x; mean, sigma^2) [B], with its constant: mean and x [B, ...]."""
    _same_shape(mean, x)
    density = 0.5 * tf.square((x - mean) / sigma) + math.log(sigma) + 0.5 * math.log(2 * math.pi)
    return tf.reduce_sum(density, axis=list(range(1, len(x.shape))))


def gaussian_kl(mean: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
    """Return KL(N(mean, exp(log_variance)) || N(0, 1)) of every latent, [B, L] (appendix B of the paper)."""
    tf.debugging.assert_shapes([(mean, ("B", "L")), (log_variance, ("B", "L"))])
    return 0.5 * (tf.square(mean) + tf.exp(log_variance) - 1.0 - log_variance)


def importance_weighted_nll(nll: tf.Tensor, z: tf.Tensor, mean: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
    """Return -log (1/K) sum_k p(x | z_k) p(z_k) / q(z_k | x) [B], an upper bound of -log p(x) that falls with K.

    nll [K, B] is -log p(x | z_k) for draws z [K, B, L] from q = N(mean, exp(log_variance)) [B, L] (Burda et al., 2016, eq. 8).
    """
    tf.debugging.assert_shapes([(nll, "KB"), (z, "KBL"), (mean, "BL"), (log_variance, "BL")])
    log_prior = -0.5 * tf.reduce_sum(tf.square(z), axis=-1)  # [K, B]; the constants of p(z) and q(z | x) cancel
    log_q = -0.5 * tf.reduce_sum(tf.square(z - mean) * tf.exp(-log_variance) + log_variance, axis=-1)  # [K, B]
    K = tf.cast(tf.shape(nll)[0], tf.float32)
    return tf.math.log(K) - tf.reduce_logsumexp(-nll + log_prior - log_q, axis=0)


def _same_shape(prediction: tf.Tensor, x: tf.Tensor) -> None:
    tf.debugging.assert_equal(tf.shape(prediction), tf.shape(x), "prediction and x must have one shape [B, ...]")
