"""Minibatch standard deviation: lets a discriminator see that all samples of a batch look alike."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

__all__ = ["MinibatchStd"]


@keras.saving.register_keras_serializable("pongan")
class MinibatchStd(keras.layers.Layer):
    """Append one channel with the mean standard deviation over groups of the batch (Karras et al., 2018, section 3).

    [B, ..., C] -> [B, ..., C + 1]. `group` examples share a value, 0 for the whole batch; B must be a multiple of it.
    Statistics are float32; 1e-8 stands inside the square root.
    """

    def __init__(self, group: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.group = group

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        B = tf.shape(inputs)[0]
        members = self.group or B
        x = tf.reshape(
            tf.cast(inputs, tf.float32), tf.concat([[members, -1], tf.shape(inputs)[1:]], 0)
        )  # [M, G, ..., C]
        std = tf.sqrt(tf.math.reduce_variance(x, axis=0) + 1e-8)  # [G, ..., C]
        value = tf.reduce_mean(std, axis=list(range(1, len(inputs.shape))))  # [G]
        channel = tf.reshape(tf.tile(value, [members]), [B] + [1] * (len(inputs.shape) - 1))
        channel = tf.broadcast_to(channel, tf.concat([tf.shape(inputs)[:-1], [1]], 0))
        return tf.concat([inputs, tf.cast(channel, inputs.dtype)], axis=-1)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        return (*input_shape[:-1], input_shape[-1] + 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "group": self.group}
