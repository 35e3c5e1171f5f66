"""An average of a network's weights that follows the network."""

from __future__ import annotations

import keras
import tensorflow as tf

__all__ = ["follow"]


def follow(average: keras.Model, model: keras.Model, decay: float, t: tf.Tensor) -> None:
    """Set average <- d average + (1 - d) model for trainable weights, and copy the others (running statistics).

    d = min(decay, (1 + t) / (10 + t)) for update t = 0, 1, ..., so that the random beginning is soon forgotten.
    """
    t = tf.cast(t, tf.float32)
    d = tf.minimum(decay, (1.0 + t) / (10.0 + t))
    for mean, weight in zip(average.trainable_variables, model.trainable_variables, strict=True):
        mean.assign(d * mean + (1.0 - d) * weight)
    for mean, weight in zip(average.non_trainable_variables, model.non_trainable_variables, strict=True):
        mean.assign(weight)
