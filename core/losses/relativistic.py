"""Relativistic losses (Jolicoeur-Martineau, 2019, https://arxiv.org/abs/1807.00734): how much more real than the other side.

Each function has two arguments C(x_r), C(x_f) [B] float32 and is D's loss. For all of them the generator
minimises the same function with the arguments exchanged. The scalar is a mean over the batch; E C is one over the rows of all
replicas under tf.distribute.
"""

from __future__ import annotations

import tensorflow as tf

from core.distributed import mean_of_batch

__all__ = ["rahinge", "ralsgan", "rasgan", "rsgan"]


def rsgan(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Return -E[log sigmoid(C(x_r) - C(x_f))] over pairs x_r, x_f (section 4.1)."""
    tf.debugging.assert_shapes([(real, ("B",)), (fake, ("B",))])
    return tf.reduce_mean(tf.nn.softplus(fake - real))


def rasgan(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Return -E[log sigmoid(C(x_r) - E C(x_f))] - E[log(1 - sigmoid(C(x_f) - E C(x_r)))] (section 4.2)."""
    above, below = _against_the_average(real, fake)
    return tf.reduce_mean(tf.nn.softplus(-above)) + tf.reduce_mean(tf.nn.softplus(below))


def ralsgan(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Return E[(C(x_r) - E C(x_f) - 1)^2] + E[(C(x_f) - E C(x_r) + 1)^2] (the paper's appendix)."""
    above, below = _against_the_average(real, fake)
    return tf.reduce_mean(tf.square(above - 1.0)) + tf.reduce_mean(tf.square(below + 1.0))


def rahinge(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Return E[max(0, 1 - (C(x_r) - E C(x_f)))] + E[max(0, 1 + (C(x_f) - E C(x_r)))] (the paper's appendix)."""
    above, below = _against_the_average(real, fake)
    return tf.reduce_mean(tf.nn.relu(1.0 - above)) + tf.reduce_mean(tf.nn.relu(1.0 + below))


def _against_the_average(real: tf.Tensor, fake: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return C(x_r) - E C(x_f) and C(x_f) - E C(x_r): each side against the mean of the other, gradients through both."""
    tf.debugging.assert_shapes([(real, ("R",)), (fake, ("F",))])
    return real - mean_of_batch(fake), fake - mean_of_batch(real)
