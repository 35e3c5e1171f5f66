"""Layers of networks that turn pictures into pictures: noise by dropout, mirrored borders, instance norm."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from core.errors import require

__all__ = ["InstanceNorm", "KeyedDropout", "ReflectConv2D"]


@keras.saving.register_keras_serializable("pongan")
class KeyedDropout(keras.layers.Layer):
    """([B, H, W, C], key [2]) -> [B, H, W, C]: dropout that the key, (seed, position), and the layer's number determine.

    It is noise, so it stays when the network does not train (Isola et al., 2017, section 3.2); then all pictures of a batch get
    one mask, so that the result of each depends on it and the key alone.
    """

    def __init__(self, rate: float, number: int, **kwargs: Any):
        require(0 <= rate < 1, f"dropout is {rate:g}; it must lie in [0, 1)")
        super().__init__(**kwargs)
        self.rate, self.number = rate, number

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        x, key = inputs
        shape = tf.shape(x) if training else tf.concat([[1], tf.shape(x)[1:]], axis=0)
        drawn = tf.random.stateless_uniform(shape, tf.random.experimental.stateless_fold_in(key, self.number))
        return x * tf.cast(tf.where(drawn < self.rate, 0.0, 1.0 / (1.0 - self.rate)), x.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "number": self.number}


@keras.saving.register_keras_serializable("pongan")
class ReflectConv2D(keras.layers.Conv2D):
    """[B, H, W, C] -> [B, H, W, filters]: a convolution of an odd kernel over a picture whose borders are mirrored."""

    def __init__(self, filters: int, kernel_size: int, **kwargs: Any):
        super().__init__(filters, kernel_size, padding="valid", **kwargs)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        edge = self.kernel_size[0] // 2
        return super().call(tf.pad(inputs, [[0, 0], [edge, edge], [edge, edge], [0, 0]], mode="REFLECT"))

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        return (*input_shape[:3], self.filters)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("padding")
        return config


@keras.saving.register_keras_serializable("pongan")
class InstanceNorm(keras.layers.Layer):
    """[B, H, W, C] -> [B, H, W, C]: each channel of each picture over its pixels, with scale and shift (Ulyanov et al., 2016).

    Statistics, scale and shift stay float32 at any precision, epsilon is 1e-5. Fewer operations than Keras's group norm.
    """

    def build(self, input_shape: Any) -> None:
        channels = (input_shape[-1],)
        self.gamma = self.add_weight(shape=channels, initializer="ones", dtype="float32", name="gamma")
        self.beta = self.add_weight(shape=channels, initializer="zeros", dtype="float32", name="beta")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        x = tf.cast(inputs, tf.float32)
        mean, variance = tf.nn.moments(x, axes=[1, 2], keepdims=True)
        gamma, beta = (tf.convert_to_tensor(v) for v in (self.gamma, self.beta))
        return tf.cast(tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-5), inputs.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape
