"""What an agent's heads stand on: the DQN paper's network, one for four 42x42 frames, one for small pictures, perceptrons.

All weights start orthogonal (Saxe et al., 2014), each layer's from (seed, name), biases at 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from core.seeds import child

__all__ = ["BlockConv", "Standardize", "a3c_cnn", "blocks", "dense", "mlp", "nature_cnn", "orthogonal", "small_cnn"]

GAIN = {"relu": 2.0**0.5, "elu": 2.0**0.5, "tanh": 2.0**0.5, "linear": 1.0}


def orthogonal(gain: float, seed: int, name: str) -> keras.initializers.Initializer:
    """Return an orthogonal initialiser whose numbers depend on (seed, name) and nothing else."""
    return keras.initializers.Orthogonal(gain, seed=child(seed, name))


def dense(
    units: int, name: str, seed: int, activation: str = "linear", gain: float | None = None
) -> keras.layers.Dense:
    """Return a dense layer. Linear ones, the heads, stay float32 whatever the precision of the run."""
    return keras.layers.Dense(
        units,
        activation=activation,
        kernel_initializer=orthogonal(GAIN[activation] if gain is None else gain, seed, name),
        name=name,
        dtype="float32" if activation == "linear" else None,
    )


def mlp(
    inputs: int, hidden: Sequence[int], activation: str, seed: int, name: str = "torso", norm: bool = False
) -> keras.Sequential:
    """Return dense layers of `hidden` units: [B, inputs] float32 -> [B, hidden[-1]].

    `norm` puts a layer normalisation (Ba et al., 2016) between each layer and its activation.
    """
    layers: list[keras.layers.Layer] = []
    for i, units in enumerate(hidden):
        layers += _normed(dense(units, f"{name}_{i}", seed, activation), norm)
    return keras.Sequential([keras.Input((inputs,)), *layers], name=name)


def nature_cnn(
    shape: Sequence[int], seed: int, name: str = "torso", unit: int = 255, dtype: str = "uint8", norm: bool = False
) -> keras.Sequential:
    """Return the network of the DQN paper up to its 512 hidden units: `blocks` [B, H/4, W/4, 16 C] -> [B, 512].

    Convolutions of 32 8x8/4, 64 4x4/2 and 64 3x3/1 filters, a dense layer, ReLU (Mnih et al., 2015, Methods). `shape` is that
    of the pictures, [C, H, W] with sides that are multiples of 4 and at least 36. Pixels of `dtype` are divided by `unit`.
    `norm` puts a layer normalisation over the channels between each layer and its ReLU.
    """
    if len(shape) != 3 or any(side % 4 or side < 36 for side in shape[1:]):
        raise ValueError(f"observations have shape {list(shape)}; [C, H, W] with sides divisible by 4, at least 36")
    C, H, W = shape

    def conv(filters: int, size: int, stride: int, number: int) -> keras.layers.Conv2D:
        init = orthogonal(GAIN["relu"], seed, f"{name}_conv{number}")
        return keras.layers.Conv2D(
            filters, size, stride, activation="relu", kernel_initializer=init, name=f"{name}_conv{number}"
        )

    first = BlockConv(
        32, 8, 4, kernel_initializer=orthogonal(GAIN["relu"], seed, f"{name}_conv1"), unit=unit, name=f"{name}_conv1"
    )
    return keras.Sequential(
        [
            keras.Input((H // 4, W // 4, 16 * C), dtype=dtype),
            *_normed(first, norm),
            *_normed(conv(64, 4, 2, 2), norm),
            *_normed(conv(64, 3, 1, 3), norm),
            keras.layers.Flatten(name=f"{name}_flat"),
            *_normed(dense(512, f"{name}_dense", seed, "relu"), norm),
        ],
        name=name,
    )


def _normed(layer: Any, norm: bool) -> list[keras.layers.Layer]:
    """Return the layer, with `norm` a normalisation of its last axis before its activation."""
    if not norm:
        return [layer]
    activation = keras.layers.Activation(layer.activation, name=f"{layer.name}_activation")
    layer.activation = keras.activations.linear
    return [layer, keras.layers.LayerNormalization(epsilon=1e-6, name=f"{layer.name}_norm"), activation]


def a3c_cnn(shape: Sequence[int], seed: int, name: str = "torso") -> keras.Sequential:
    """Return four 3x3/2 convolutions of 32 filters and a dense layer of 256: bytes [B, C, 42, 42] -> [B, 256].

    The small network that A3C implementations for 42x42 frames use (OpenAI universe-starter-agent, 2016), without its LSTM.
    """
    layers: list[keras.layers.Layer] = [
        keras.layers.Permute((2, 3, 1), name=f"{name}_channels_last", dtype="uint8"),
        keras.layers.Rescaling(1 / 255, name=f"{name}_scale"),
    ]
    for number in range(1, 5):
        init = orthogonal(GAIN["elu"], seed, f"{name}_conv{number}")
        layers.append(
            keras.layers.Conv2D(
                32, 3, 2, "same", activation="elu", kernel_initializer=init, name=f"{name}_conv{number}"
            )
        )
    layers += [keras.layers.Flatten(name=f"{name}_flat"), dense(256, f"{name}_dense", seed, "elu")]
    return keras.Sequential([keras.Input(tuple(shape), dtype="uint8"), *layers], name=name)


def small_cnn(
    shape: Sequence[int], seed: int, name: str = "torso", unit: int = 255, dtype: str = "uint8", norm: bool = False
) -> keras.Sequential:
    """Return a network for pictures that are too small for `nature_cnn`: [B, C, H, W] -> [B, 256], sides of any length.

    3x3 convolutions of 32 filters, and of 64 filters twice, of which the last two halve the sides; a dense layer; ReLU. Pixels
    of `dtype` are divided by `unit`. `norm` as in `nature_cnn`.
    """
    layers: list[keras.layers.Layer] = [
        keras.layers.Permute((2, 3, 1), name=f"{name}_channels_last", dtype=dtype),
        keras.layers.Rescaling(1 / unit, name=f"{name}_scale"),
    ]
    for number, (filters, stride) in enumerate(((32, 1), (64, 2), (64, 2)), start=1):
        init = orthogonal(GAIN["relu"], seed, f"{name}_conv{number}")
        conv = keras.layers.Conv2D(
            filters, 3, stride, "same", activation="relu", kernel_initializer=init, name=f"{name}_conv{number}"
        )
        layers += _normed(conv, norm)
    layers += [keras.layers.Flatten(name=f"{name}_flat"), *_normed(dense(256, f"{name}_dense", seed, "relu"), norm)]
    return keras.Sequential([keras.Input(tuple(shape), dtype=dtype), *layers], name=name)


def blocks(pixels: np.ndarray) -> np.ndarray:
    """Return pictures cut into blocks of 4x4 pixels that have become channels: [B, C, H, W] -> [B, H/4, W/4, 16 C].

    Pixels are bytes or float32; channels come in the order (picture, row, column). Four neighbouring pixels move as one word: a
    fifth of the time TensorFlow takes for the transposition.
    """
    B, C, H, W = pixels.shape
    word = np.uint32 if pixels.itemsize == 1 else np.complex128  # of four pixels
    words = np.ascontiguousarray(pixels).reshape(B, C, H // 4, 4, W).view(word)  # [B, C, H/4, 4, W/4]
    return np.ascontiguousarray(words.transpose(0, 2, 4, 1, 3)).view(pixels.dtype).reshape(B, H // 4, W // 4, 16 * C)


class BlockConv(keras.layers.Layer):
    """ReLU convolution of pictures, divided by `unit`, given as `blocks`: [B, H/s, W/s, C s^2] -> [B, H', W', filters].

    The stride s divides the kernel size k, so a (k/s x k/s)/1 convolution over blocks gives the same numbers as a (k x k)/s one
    over pixels, with valid padding: 4 input channels leave most of a vector unit idle, 64 fill it. The division is folded
    into the kernel. Weights: `kernel` [k, k, C, filters] and `bias` [filters], as in an ordinary layer.
    """

    def __init__(
        self,
        filters: int,
        size: int,
        stride: int,
        kernel_initializer: Any = "orthogonal",
        unit: int = 255,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if size % stride:
            raise ValueError(f"kernel size {size} must be a multiple of the stride {stride}")
        self.filters, self.size, self.stride, self.unit = filters, size, stride, unit
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.activation = keras.activations.relu

    def build(self, input_shape: Sequence[int]) -> None:
        self.channels = input_shape[-1] // self.stride**2
        shape = (self.size, self.size, self.channels, self.filters)
        self.kernel = self.add_weight(shape=shape, initializer=self.kernel_initializer, name="kernel")
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    def call(self, x: Any) -> Any:
        ops = keras.ops
        s, m, C = self.stride, self.size // self.stride, self.channels
        kernel = ops.reshape(ops.cast(self.kernel, "float32") / self.unit, (m, s, m, s, C, self.filters))
        kernel = ops.reshape(ops.transpose(kernel, (0, 2, 4, 1, 3, 5)), (m, m, C * s * s, self.filters))
        out = ops.conv(ops.cast(x, self.compute_dtype), ops.cast(kernel, self.compute_dtype), padding="valid")
        return self.activation(out + ops.cast(self.bias, self.compute_dtype))


class Standardize(keras.layers.Layer):
    """(x - mean) / std, clipped to +-`clip`, with statistics [D] that their owner sets: they are not trained."""

    def __init__(self, clip: float = 10.0, **kwargs: Any):
        super().__init__(dtype="float32", **kwargs)
        self.clip = clip

    def build(self, input_shape: Sequence[int]) -> None:
        self.mean = self.add_weight(shape=input_shape[1:], initializer="zeros", trainable=False, name="mean")
        self.std = self.add_weight(shape=input_shape[1:], initializer="ones", trainable=False, name="std")

    def call(self, x: Any) -> Any:
        return keras.ops.clip((x - self.mean) / self.std, -self.clip, self.clip)
