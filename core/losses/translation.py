"""Losses of models that translate pictures. Pictures [B, H, W, C] float32 in, a scalar mean out."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["cycle_consistency", "l1"]


def l1(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Return E[|x - y|_1], the norm taken as a mean over the entries (Isola et al., 2017, eq. 3, as its authors compute it)."""
    tf.debugging.assert_equal(tf.shape(x), tf.shape(y), "both must have one shape [B, H, W, C]")
    return tf.reduce_mean(tf.abs(x - y))


def cycle_consistency(x: tf.Tensor, x_again: tf.Tensor, y: tf.Tensor, y_again: tf.Tensor) -> tf.Tensor:
    """Return E[|F(G(x)) - x|_1] + E[|G(F(y)) - y|_1], norms as in `l1` (Zhu et al., 2017, eq. 2).

    With G(y) and F(x) in the place of G(F(y)) and F(G(x)) it is the identity loss of its section 5.2.
    """
    return l1(x_again, x) + l1(y_again, y)
