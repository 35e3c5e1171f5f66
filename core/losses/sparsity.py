"""What keeps hidden units of an autoencoder quiet: a mean activation to be held, or a price on every activation.

Activations [B, H] float32 of a batch in, one number for each unit [H] out; whoever calls sums the units.
"""

from __future__ import annotations

import tensorflow as tf

__all__ = ["kl_sparsity", "l1_sparsity"]

TINY = 1e-6  # a unit that is always 0 or always 1 has a finite divergence, and a gradient that leads back


def kl_sparsity(activations: tf.Tensor, rho: float) -> tf.Tensor:
    """Return KL(rho || rho_j) = rho log(rho / rho_j) + (1 - rho) log((1 - rho) / (1 - rho_j)) [H] in nats.

    rho_j is unit j's mean activation over the batch, of activations in [0, 1] (Ng, CS294A lecture notes, "Autoencoders and
    sparsity"; there the mean is over the whole training set).
    """
    tf.debugging.assert_shapes([(activations, ("B", "H"))])
    mean = TINY + (1.0 - 2.0 * TINY) * tf.reduce_mean(activations, axis=0)  # [H]
    return rho * tf.math.log(rho / mean) + (1.0 - rho) * tf.math.log((1.0 - rho) / (1.0 - mean))


def l1_sparsity(activations: tf.Tensor) -> tf.Tensor:
    """Return the mean of |a_j| [H] over the batch: for units without an upper bound, such as ReLU and softplus."""
    tf.debugging.assert_shapes([(activations, ("B", "H"))])
    return tf.reduce_mean(tf.abs(activations), axis=0)
