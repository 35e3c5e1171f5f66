"""Leaky ReLU whose gradient is worked out from its output, so that TensorFlow can fuse it with the convolution before it."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from core.errors import require

__all__ = ["LeakyReLU"]


@keras.saving.register_keras_serializable("pongan")
class LeakyReLU(keras.layers.LeakyReLU):
    """x -> max(x, a x), a in (0, 1]: Keras's layer with the same numbers, forward, backward and in second derivatives.

    Output and input have the same sign, which is all that the gradient needs. TensorFlow's own gradient asks for the input, so a
    convolution, its bias and its activation must stay three operations. Where one tf.function calls a network again after an
    update, its graph optimiser fuses them all the same, finds the input missing, complains and leaves the whole graph as it is.

    Raises UsageError for another slope a: of 0 the sign would be lost.
    """

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any):
        require(0 < negative_slope <= 1, f"negative_slope is {negative_slope}; it must lie in (0, 1]")
        super().__init__(negative_slope, **kwargs)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        slope = self.negative_slope

        @tf.custom_gradient
        def activate(x: tf.Tensor) -> Any:
            y = tf.nn.leaky_relu(x, slope)
            sign = tf.stop_gradient(y)  # through which second derivatives would go back to the input, as zeros
            return y, lambda upstream: tf.raw_ops.LeakyReluGrad(gradients=upstream, features=sign, alpha=slope)

        return activate(inputs)
