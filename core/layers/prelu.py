"""Parametric ReLU with one slope per channel, forward and backward each compiled to one pass over memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

__all__ = ["ChannelPReLU"]


@keras.saving.register_keras_serializable("pongan")
class ChannelPReLU(keras.layers.Layer):
    """[..., C] -> [..., C]: max(x, 0) + a min(x, 0) with a learned slope a [C], 0.25 at first (He et al., 2015).

    The same as `keras.layers.PReLU` with shared axes, whose value and gradient are a dozen elementwise operations. As two
    functions compiled by XLA they take 12 instead of 30 ms on [16, 96, 96, 64] in float32, 8 instead of 27 in bfloat16 (2 cores).
    That is for training, whose shapes are few; otherwise plain operations serve, which any shape and any export can take.
    """

    def build(self, input_shape: Any) -> None:
        start = keras.initializers.Constant(0.25)
        self.slope = self.add_weight((input_shape[-1],), start, name="slope", autocast=False)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        slope = tf.convert_to_tensor(self.slope)
        if training:
            return _prelu(inputs, slope)
        return tf.where(inputs > 0, inputs, inputs * tf.cast(slope, inputs.dtype))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


@tf.custom_gradient
def _prelu(x: tf.Tensor, a: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
    return _value(x, a), lambda dy: _gradient(dy, x, a)


@tf.function(jit_compile=True)
def _value(x: tf.Tensor, a: tf.Tensor) -> tf.Tensor:
    return tf.where(x > 0, x, x * tf.cast(a, x.dtype))


@tf.function(jit_compile=True)
def _gradient(dy: tf.Tensor, x: tf.Tensor, a: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    dx = tf.where(x > 0, dy, dy * tf.cast(a, x.dtype))
    da = tf.where(x > 0, tf.zeros((), tf.float32), tf.cast(dy * x, tf.float32))
    return dx, tf.reduce_sum(da, list(range(x.shape.rank - 1)))
