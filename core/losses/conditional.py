"""Losses of models that are told a class. Logits float32 in, a scalar mean over the batch out."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["class_nll"]


def class_nll(logits: tf.Tensor, c: tf.Tensor) -> tf.Tensor:
    """Return -E[log P(C = c | x)], one of the two terms of -L_C (Odena et al., 2017, eq. 3).

    logits [B, K] are those of the classes, c [B] int which of them is asked for.
    """
    tf.debugging.assert_shapes([(logits, ("B", "K")), (c, ("B",))])
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(c, logits))
