"""Spectral normalisation (Miyato et al., 2018, https://arxiv.org/abs/1802.05957) whose gradient goes through sigma.

Keras has a layer of this name that overwrites the kernel in every training call: no gradient passes sigma, and the network
changes between its two forward passes of one update. Here the kernel stays as it is and `call` changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

__all__ = ["SpectralNormalization", "kernel_matrix", "power_iterate", "sigma_penalty", "sigmas", "spectral_layers"]

WARM_UP = 15  # power iterations at the start, so that the very first sigma is of the right size


def kernel_matrix(layer: keras.layers.Layer, kernel: tf.Tensor) -> tf.Tensor:
    """Return a kernel as the matrix [outputs, rest] whose largest singular value is meant.

    Dense (in, out), convolutions (h, w, in, out), transposed convolutions (h, w, out, in), embeddings (rows, out).
    """
    if isinstance(layer, (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)):
        axes = [*range(len(kernel.shape) - 2), len(kernel.shape) - 1, len(kernel.shape) - 2]
        kernel = tf.transpose(kernel, axes)
    return tf.transpose(tf.reshape(kernel, [-1, kernel.shape[-1]]))


@keras.saving.register_keras_serializable("pongan")
class SpectralNormalization(keras.layers.Wrapper):
    """Call `layer` with W / sigma, where sigma = u'Wv and u, v are the unit vectors that `power_iterate` keeps up to date.

    u and v are non-trainable, float32, and constant in the gradient; W in sigma is not. `divide=False` calls the layer with
    W itself and only keeps u and v, for `sigma_penalty` and for curves of `sigmas`.
    """

    def __init__(self, layer: keras.layers.Layer, *, divide: bool = True, seed: int = 0, **kwargs: Any):
        super().__init__(layer, dtype="float32", autocast=False, **kwargs)  # the wrapped layer casts for itself
        self.divide, self.seed = divide, seed

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        W = kernel_matrix(self.layer, keras.ops.convert_to_numpy(self.kernel)).numpy()  # [O, R]
        u = np.random.default_rng(self.seed).normal(size=W.shape[0])
        for _ in range(WARM_UP):
            v = W.T @ u
            v /= np.linalg.norm(v) + 1e-12
            u = W @ v
            u /= np.linalg.norm(u) + 1e-12
        for name, value in (("u", u), ("v", v)):
            start = keras.initializers.Constant(value.astype(np.float32))
            vector = self.add_weight(
                name=name, shape=value.shape, initializer=start, trainable=False, dtype="float32", autocast=False
            )
            setattr(self, name, vector)

    @property
    def kernel(self) -> keras.Variable:
        """The wrapped layer's kernel, not normalised: what the optimiser changes."""
        return self.layer.embeddings if isinstance(self.layer, keras.layers.Embedding) else self.layer.kernel

    def sigma(self) -> tf.Tensor:
        """Return u'Wv [], the estimate of the kernel's largest singular value; differentiable in W."""
        W = kernel_matrix(self.layer, tf.convert_to_tensor(self.kernel.value))  # [O, R]
        return tf.tensordot(self.u.value, tf.linalg.matvec(W, self.v.value), 1)

    def call(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.divide:
            return self.layer(inputs, *args, **kwargs)
        with keras.StatelessScope([(self.kernel, self.kernel.value / self.sigma())]):
            return self.layer(inputs, *args, **kwargs)

    def power_iterate(self) -> None:
        """Set v <- W'u / |W'u| and u <- Wv / |Wv|, once."""
        W = kernel_matrix(self.layer, tf.convert_to_tensor(self.kernel.value))
        v = tf.math.l2_normalize(tf.linalg.matvec(W, self.u.value, transpose_a=True))
        u = tf.math.l2_normalize(tf.linalg.matvec(W, v))
        self.v.assign(v)
        self.u.assign(u)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("dtype")
        return {**config, "divide": self.divide, "seed": self.seed}


def spectral_layers(model: keras.Model) -> Iterator[SpectralNormalization]:
    """Yield the spectrally normalised layers of a model and of the models in it."""
    for layer in getattr(model, "layers", []):
        if isinstance(layer, SpectralNormalization):
            yield layer
        else:
            yield from spectral_layers(layer)


def power_iterate(model: keras.Model) -> None:
    """Run one power iteration in every layer. A plugin calls this once before each discriminator update, nowhere else."""
    for layer in spectral_layers(model):
        layer.power_iterate()


def sigmas(model: keras.Model) -> tf.Tensor:
    """Return the estimates of the largest singular value of every kernel under a wrapper, [layers] float32."""
    return tf.stack([layer.sigma() for layer in spectral_layers(model)])


def sigma_penalty(model: keras.Model) -> tf.Tensor:
    """Return sum over layers of sigma^2 / 2 [], whose gradient is sigma u v' (Yoshida and Miyato, 2017, section 3.2)."""
    return 0.5 * tf.reduce_sum(tf.square(sigmas(model)))
