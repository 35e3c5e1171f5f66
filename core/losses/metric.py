"""Losses on distances between embeddings: what belongs together comes near, what does not is kept apart by a margin.

Embeddings [B, D] float32 in, the loss [B] of every pair or triplet out.
"""

from __future__ import annotations

import tensorflow as tf

__all__ = ["contrastive", "semi_hard", "triplet"]

TINY = 1e-12  # below it a squared distance has no direction in which its root falls


def contrastive(a: tf.Tensor, b: tf.Tensor, same: tf.Tensor, margin: float = 1.0) -> tf.Tensor:
    """Return D^2 / 2 [B] of pairs that belong together and max(0, m - D)^2 / 2 of the others.

    D = |a - b|, of embeddings a, b [B, D]; same [B] bool (Hadsell, Chopra and LeCun, 2006, eq. 4, whose Y is 1 for pairs that
    do not belong together).
    """
    tf.debugging.assert_shapes([(a, ("B", "D")), (b, ("B", "D")), (same, ("B",))])
    squared = tf.reduce_sum(tf.square(a - b), axis=1)  # [B]
    short = tf.nn.relu(margin - tf.sqrt(tf.maximum(squared, TINY)))
    return 0.5 * tf.where(same, squared, tf.square(short))


def triplet(anchor: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor, margin: float = 0.2) -> tf.Tensor:
    """Return max(0, |a - p|^2 - |a - n|^2 + m) [B] of embeddings [B, D] (Schroff, Kalenichenko and Philbin, 2015, eq. 3)."""
    tf.debugging.assert_shapes([(anchor, ("B", "D")), (positive, ("B", "D")), (negative, ("B", "D"))])
    near = tf.reduce_sum(tf.square(anchor - positive), axis=1)  # [B]
    far = tf.reduce_sum(tf.square(anchor - negative), axis=1)
    return tf.nn.relu(near - far + margin)


def semi_hard(anchor: tf.Tensor, positive: tf.Tensor, candidates: tf.Tensor, different: tf.Tensor) -> tf.Tensor:
    """Return which of the candidates [N, D] is each anchor's negative, [B] int64: the nearest that is farther than its positive.

    anchor, positive [B, D]; different [B, N] bool says which candidates may be a row's negative. Where none of them is farther
    than the positive, it is the farthest (Schroff et al., 2015, section 3.2: the hardest ones alone make f(x) = 0). For a row
    without candidates it is number 0.
    """
    tf.debugging.assert_shapes(
        [(anchor, ("B", "D")), (positive, ("B", "D")), (candidates, ("N", "D")), (different, ("B", "N"))]
    )
    near = tf.reduce_sum(tf.square(anchor - positive), axis=1)  # [B]
    squares = tf.reduce_sum(tf.square(anchor), axis=1)[:, None] + tf.reduce_sum(tf.square(candidates), axis=1)
    far = squares - 2.0 * tf.matmul(anchor, candidates, transpose_b=True)  # [B, N]
    beyond = different & (far > near[:, None])
    nearest = tf.argmin(tf.where(beyond, far, far.dtype.max), axis=1)
    farthest = tf.argmax(tf.where(different, far, far.dtype.min), axis=1)
    return tf.where(tf.reduce_any(beyond, axis=1), nearest, farthest)
