"""An average of a network's weights that follows the network."""

from __future__ import annotations

import keras
import tensorflow as tf

__all__ = ["follow"]


def follow(average: keras.Model, model: keras.Model, decay: float, t: tf.Tensor) -> None:
    """Set average <- d average + (1 - d) model for weights and running statistics; anything that is not a float is copied.

    d = min(decay, (1 + t) / (10 + t)) for update t = 0, 1, ..., so that the random beginning is soon forgotten. The
    statistics of batch norm lag behind together with the weights: those of the newest weights would not fit the average.
    """
    t = tf.cast(t, tf.float32)
    d = tf.minimum(decay, (1.0 + t) / (10.0 + t))
    for mean, variable in zip(average.variables, model.variables, strict=True):
        value = variable.value
        mean.assign(d * mean + (1.0 - d) * value if value.dtype.is_floating else value)
