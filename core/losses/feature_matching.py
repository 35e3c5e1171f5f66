"""Losses of the generator of CVAE-GAN (Bao et al., 2017, https://arxiv.org/abs/1703.10155). Norms are sums over the entries."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["class_centres", "mean_matching", "pairwise"]


def mean_matching(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Return |mean f(x_r) - mean f(x_p)|^2 / 2 [] of features real [R, F], fake [B, F], means over the rows (L_GD).

    L_GC is the sum of the same over classes, which is K times `pairwise` of their centres [K, F], see `class_centres`.
    """
    tf.debugging.assert_shapes([(real, ("R", "F")), (fake, ("B", "F"))])
    return 0.5 * tf.reduce_sum(tf.math.squared_difference(tf.reduce_mean(real, axis=0), tf.reduce_mean(fake, axis=0)))


def class_centres(centres: tf.Tensor, features: tf.Tensor, c: tf.Tensor, decay: float) -> tf.Tensor:
    """Return the moving averages [K, F] of each class's features after a batch [B, F] of classes c [B].

    decay times what it was and 1 - decay times the batch's mean of that class; a class that is not in the batch stays. Gradients
    reach the features.
    """
    tf.debugging.assert_shapes([(centres, ("K", "F")), (features, ("B", "F")), (c, ("B",))])
    one_hot = tf.one_hot(c, tf.shape(centres)[0])  # [B, K]
    counts = tf.reduce_sum(one_hot, axis=0)[:, None]  # [K, 1]
    means = tf.matmul(one_hot, features, transpose_a=True) / tf.maximum(counts, 1.0)
    return tf.where(counts > 0, decay * centres + (1.0 - decay) * means, centres)


def pairwise(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Return E |x - y|^2 / 2 [] of x, y [B, ...], the norm over all axes but the batch: a term of L_G."""
    tf.debugging.assert_equal(tf.shape(x), tf.shape(y), "x and y must have one shape [B, ...]")
    return 0.5 * tf.reduce_mean(tf.reduce_sum(tf.math.squared_difference(x, y), axis=list(range(1, len(x.shape)))))
