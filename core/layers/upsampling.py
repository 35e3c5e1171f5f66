"""Ways to make pictures larger: sub-pixel convolution, resize and convolve, transposed convolution of any size, bicubic."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from core.layers.resampling import bicubic_matrix

__all__ = ["BicubicUpsampling", "CroppedConv2DTranspose", "ResizeConv2D", "SubpixelConv2D"]


@keras.saving.register_keras_serializable("pongan")
class SubpixelConv2D(keras.layers.Conv2D):
    """[B, H, W, C] -> [B, rH, rW, filters]: a convolution with r^2 filters whose channels become pixels (Shi et al., 2016).

    The r^2 values of a block come from channels (i r + j) filters + c, i the row and j the column inside the block.
    """

    def __init__(self, filters: int, kernel_size: int, scale: int = 2, **kwargs: Any):
        super().__init__(filters * scale**2, kernel_size, padding="same", **kwargs)
        self.scale = scale

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.nn.depth_to_space(super().call(inputs), self.scale)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        batch, height, width, channels = super().compute_output_shape(input_shape)
        larger = [size and size * self.scale for size in (height, width)]
        return (batch, *larger, channels // self.scale**2)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("padding")
        return {**config, "filters": self.filters // self.scale**2, "scale": self.scale}


@keras.saving.register_keras_serializable("pongan")
class ResizeConv2D(keras.layers.Conv2D):
    """[B, H, W, C] -> [B, h, w, filters]: nearest neighbours up to `size` (h, w), then a convolution (Odena et al., 2016).

    Every output pixel is covered by equally many kernel entries, which a transposed convolution cannot promise: no
    checkerboard from the start.
    """

    def __init__(self, filters: int, kernel_size: int, size: tuple[int, int], **kwargs: Any):
        super().__init__(filters, kernel_size, padding="same", **kwargs)
        self.size = tuple(size)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        height, width = inputs.shape[1:3]
        if self.size == (2 * height, 2 * width):  # repeating is exact and has a deterministic gradient
            inputs = tf.repeat(tf.repeat(inputs, 2, axis=1), 2, axis=2)
        else:
            rows, columns = (tf.range(new) * old // new for new, old in zip(self.size, (height, width), strict=True))
            inputs = tf.gather(tf.gather(inputs, rows, axis=1), columns, axis=2)
        return super().call(inputs)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        return super().compute_output_shape((input_shape[0], *self.size, input_shape[3]))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("padding")
        return {**config, "size": self.size}


@keras.saving.register_keras_serializable("pongan")
class CroppedConv2DTranspose(keras.layers.Conv2DTranspose):
    """[B, ceil(h/s), ceil(w/s), C] -> [B, h, w, filters]: a stride-s transposed convolution cut to `size` (h, w).

    It mirrors a convolution with stride s and padding `same`, which makes ceil(h/s) out of h; so any size can be reached.
    """

    def __init__(self, filters: int, kernel_size: int, size: tuple[int, int], strides: int = 2, **kwargs: Any):
        super().__init__(filters, kernel_size, strides=strides, padding="same", **kwargs)
        self.size = tuple(size)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return super().call(inputs)[:, : self.size[0], : self.size[1]]

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        return (input_shape[0], *self.size, self.filters)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("padding")
        return {**config, "size": self.size}


@keras.saving.register_keras_serializable("pongan")
class BicubicUpsampling(keras.layers.Layer):
    """[B, H, W, C] -> [B, rH, rW, C] float32: bicubic interpolation as Pillow does it (Keys, 1981), for any size in a graph.

    Every pixel becomes r x r, each a weighted mean of the 5x5 pixels around; beyond the border weights are left out and the
    others scaled to sum 1. A convolution whose r^2 filters are fixed does that, on any device.
    """

    def __init__(self, scale: int, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.scale = scale

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        r, channels = self.scale, inputs.shape[-1]
        weights = bicubic_matrix(5, 5 * r)[2 * r : 3 * r]  # [r, 5]: the pixels that the middle one of five becomes
        window = np.einsum("ia,jb->abij", weights, weights).reshape(5, 5, 1, r * r)
        each = np.einsum("abxk,cd->abckd", window, np.eye(channels, dtype=np.float32)).reshape(5, 5, channels, -1)
        x = tf.nn.conv2d(tf.cast(inputs, tf.float32), each, 1, "SAME")
        inside = tf.nn.conv2d(tf.ones_like(x[:1, ..., :1]), window, 1, "SAME")  # how much of the filter lies inside
        return tf.nn.depth_to_space(x, r) / tf.nn.depth_to_space(inside, r)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        batch, *sides, channels = input_shape
        return (batch, *(side and side * self.scale for side in sides), channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale}
