"""Three ways to make pictures larger: sub-pixel convolution, resize and convolve, transposed convolution of any size."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

__all__ = ["CroppedConv2DTranspose", "ResizeConv2D", "SubpixelConv2D"]


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
