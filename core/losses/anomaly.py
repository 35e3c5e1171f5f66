"""Losses of the generator of GANomaly (Akcay et al., 2018, https://arxiv.org/abs/1805.06725). A scalar mean over the batch out.

Norms are means over the entries, as in the published code, so that the weights of the paper do not depend on the picture's size.
"""

from __future__ import annotations

import tensorflow as tf

__all__ = ["contextual", "feature_matching", "latent_distance"]


def feature_matching(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Return E[mean_j (f_j(x) - f_j(x'))^2] for the discriminator's features real, fake [B, F] (eq. 1)."""
    tf.debugging.assert_shapes([(real, ("B", "F")), (fake, ("B", "F"))])
    return tf.reduce_mean(tf.math.squared_difference(real, fake))


def contextual(x: tf.Tensor, reconstruction: tf.Tensor) -> tf.Tensor:
    """Return E[mean |x - x'|] for pictures [B, H, W, C] (eq. 2)."""
    tf.debugging.assert_equal(tf.shape(x), tf.shape(reconstruction), "pictures and reconstructions must have one shape")
    return tf.reduce_mean(tf.abs(x - reconstruction))


def latent_distance(z: tf.Tensor, z_again: tf.Tensor) -> tf.Tensor:
    """Return E[mean_j (z_j - z'_j)^2] for codes [B, L] of pictures and of their reconstructions (eq. 3)."""
    tf.debugging.assert_shapes([(z, ("B", "L")), (z_again, ("B", "L"))])
    return tf.reduce_mean(tf.math.squared_difference(z, z_again))
