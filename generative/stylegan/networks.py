"""The networks of StyleGAN: mapping f, synthesis g, discriminator D, for pictures of any size and shape from 16 pixels up.

A level halves both sides, rounding up, until the smaller one has at most 4 pixels: 28 -> 14 -> 7 -> 4. The level next to the
picture has `width` filters, each further one twice as many, up to `widest`. g has two layers with a style of their own at
each level.

Every weight is drawn from N(0, 1) and multiplied by gain / sqrt(inputs) where it is used (equalised learning rate: Karras et al.,
2018, section 4.1), so that Adam's steps have the same relative size in all layers.
"""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from core.errors import require
from core.layers.leaky_relu import LeakyReLU
from core.layers.minibatch import MinibatchStd
from core.seeds import child
from generative.adversarial.networks import LEAST_SIZE, levels
from generative.data.sources import Data
from generative.stylegan.config import GROUP, StyleGANConfig

__all__ = ["MeanOfW", "layer_sides", "make_discriminator", "make_mapping", "make_synthesis"]

GAIN = 2**0.5  # before a leaky ReLU (He et al., 2015)
BLUR = np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32) / 16


def layer_sides(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return the sides (h, w) of the layers of g that have a style, from the constant on.

    >>> layer_sides((16, 16, 1))
    [(4, 4), (4, 4), (8, 8), (8, 8), (16, 16), (16, 16)]
    """
    return [side for side in reversed(levels(shape)) for _ in range(2)]


def make_mapping(config: StyleGANConfig, seed: int) -> keras.Model:
    """Return f: z [B, L] -> w [B, L], float32; its layer `mean` keeps the running mean of w."""
    make = _Numbered(child(seed, "mapping"))
    z = keras.Input((config.latent,))
    h = keras.layers.UnitNormalization()(z)
    h = keras.layers.Rescaling(config.latent**0.5)(h)  # each number of unit variance
    for _ in range(config.mapping_layers):
        h = LeakyReLU(0.2)(EqualDense(config.latent, GAIN, config.mapping_lr, seed=make.seed())(h))
    return keras.Model(z, MeanOfW(name="mean", dtype="float32")(h), name="mapping")


def make_synthesis(data: Data, config: StyleGANConfig, seed: int) -> keras.Model:
    """Return g: styles w [B, layers, L] and noise [B, pixels of all layers] -> pictures [B, H, W, C], float32 and unbounded.

    Raises UsageError for pictures of fewer than 16 pixels a side.
    """
    side = min(data.shape[:2])
    require(
        side >= LEAST_SIZE,
        f"{data.name} has {side} pixels a side; the networks need {LEAST_SIZE}, set data.size (and data.height, where there is "
        f"one) to {LEAST_SIZE} or more",
    )
    make = _Numbered(child(seed, "synthesis"))
    sides = layer_sides(data.shape)
    w, noise = keras.Input((len(sides), config.latent)), keras.Input((sum(h * w for h, w in sides),))
    filters = _filters(len(sides) // 2, config)[::-1]
    h: Any = w
    begin = 0
    for number, (height, width) in enumerate(sides):
        count = filters[number // 2]
        if number == 0:
            h = Constant((height, width, count))(w)
        elif number % 2:
            h = EqualConv2D(count, 3, GAIN, use_bias=False, seed=make.seed())(h)
        else:
            h = Blur()(EqualConvUp(count, (height, width), seed=make.seed())(h))
        own = keras.layers.Reshape((height, width, 1))(noise[:, begin : begin + height * width])
        begin += height * width
        h = LeakyReLU(0.2)(NoiseAndBias(weighted=config.noise)([h, own]))
        style = EqualDense(2 * count, 1.0, seed=make.seed())(w[:, number])
        h = AdaIN()([h, style])
    x = EqualConv2D(data.shape[2], 1, 1.0, seed=make.seed())(h)
    return keras.Model([w, noise], keras.layers.Activation("linear", dtype="float32")(x), name="synthesis")


def make_discriminator(data: Data, config: StyleGANConfig, seed: int) -> keras.Model:
    """Return D: pictures [B, H, W, C] -> raw outputs [B], float32."""
    make = _Numbered(child(seed, "discriminator"))
    filters = _filters(len(levels(data.shape)), config)

    def conv(h: Any, count: int, kernel: int) -> Any:
        return LeakyReLU(0.2)(EqualConv2D(count, kernel, GAIN, seed=make.seed())(h))

    x = keras.Input(data.shape)
    h = conv(x, filters[0], 1)
    for count, wider in itertools.pairwise(filters):
        h = conv(h, count, 3)
        h = LeakyReLU(0.2)(EqualConvDown(wider, seed=make.seed())(Blur()(h)))
    h = conv(MinibatchStd(GROUP)(h), filters[-1], 3)
    h = LeakyReLU(0.2)(EqualDense(filters[-1], GAIN, seed=make.seed())(keras.layers.Flatten()(h)))
    h = EqualDense(1, 1.0, seed=make.seed(), dtype="float32")(h)
    return keras.Model(x, keras.layers.Reshape((), dtype="float32")(h), name="discriminator")


def _filters(count: int, config: StyleGANConfig) -> list[int]:
    """Return the filters of the levels from the picture down."""
    return [min(config.width * 2**level, config.widest) for level in range(count)]


class _Numbered:
    """Seeds of the layers of one network, one after another."""

    def __init__(self, network: int):
        self.network, self.count = network, itertools.count()

    def seed(self) -> int:
        return child(self.network, "layer", next(self.count))


# --- layers with an equalised learning rate ---------------------------------------------------------------------------------


class _Equal(keras.layers.Layer):
    """Has a kernel drawn from N(0, 1 / lr^2), used times lr gain / sqrt(inputs), and a bias, used times lr.

    Adam moves every weight by about its step size; what is used moves by lr times that.
    """

    def __init__(self, gain: float, lr: float = 1.0, use_bias: bool = True, seed: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.gain, self.lr, self.use_bias, self.seed = gain, lr, use_bias, seed

    def add_weights(self, shape: tuple[int, ...]) -> None:
        start = keras.initializers.RandomNormal(0.0, 1 / self.lr, seed=self.seed)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=start)
        self.scale = self.lr * self.gain / float(np.prod(shape[:-1])) ** 0.5
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=shape[-1:], initializer="zeros")

    def with_bias(self, h: tf.Tensor) -> tf.Tensor:
        return h + self.bias * self.lr if self.use_bias else h


class EqualDense(_Equal):
    """[B, F] -> [B, units]."""

    def __init__(self, units: int, gain: float, lr: float = 1.0, **kwargs: Any):
        super().__init__(gain, lr, **kwargs)
        self.units = units

    def build(self, input_shape: Any) -> None:
        self.add_weights((input_shape[-1], self.units))

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.with_bias(tf.matmul(inputs, self.kernel * self.scale))

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        return (*input_shape[:-1], self.units)


class EqualConv2D(_Equal):
    """[B, H, W, C] -> [B, H, W, filters]."""

    def __init__(self, filters: int, side: int, gain: float, **kwargs: Any):
        super().__init__(gain, **kwargs)
        self.filters, self.side = filters, side

    def build(self, input_shape: Any) -> None:
        self.add_weights((self.side, self.side, input_shape[-1], self.filters))

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.with_bias(tf.nn.conv2d(inputs, self.kernel * self.scale, 1, "SAME"))

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        return (*input_shape[:-1], self.filters)


class EqualConvUp(EqualConv2D):
    """[B, h, w, C] -> [B, H, W, filters], `size` = (H, W) up to twice as large: nearest neighbours and a 3x3 convolution, in one.

    Both together are a transposed convolution with stride 2, whose 4x4 kernel is the sum of four shifts of the 3x3 one.
    """

    def __init__(self, filters: int, size: tuple[int, int], **kwargs: Any):
        super().__init__(filters, 3, GAIN, use_bias=False, **kwargs)
        self.size = size

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        kernel = tf.transpose(_four_shifts(self.kernel * self.scale)[::-1, ::-1], (0, 1, 3, 2))
        shape = (tf.shape(inputs)[0], *self.size, self.filters)
        return tf.nn.conv2d_transpose(inputs, kernel, shape, 2, "SAME")

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        return (input_shape[0], *self.size, self.filters)


class EqualConvDown(EqualConv2D):
    """[B, H, W, C] -> [B, ceil(H/2), ceil(W/2), filters]: a 3x3 convolution and the mean of 2x2 pixels, in one with stride 2."""

    def __init__(self, filters: int, **kwargs: Any):
        super().__init__(filters, 3, GAIN, **kwargs)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.with_bias(tf.nn.conv2d(inputs, _four_shifts(self.kernel * self.scale) / 4, 2, "SAME"))

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        batch, height, width, _ = input_shape
        return (batch, -(-height // 2), -(-width // 2), self.filters)


def _four_shifts(kernel: tf.Tensor) -> tf.Tensor:
    """Return the kernel [4, 4, I, O] that is a 3x3 one [3, 3, I, O] in all four corners, summed."""
    return tf.add_n(
        [tf.pad(kernel, [[i, 1 - i], [j, 1 - j], [0, 0], [0, 0]]) for i, j in itertools.product((0, 1), repeat=2)]
    )


# --- layers without ---------------------------------------------------------------------------------------------------------


class Constant(keras.layers.Layer):
    """Anything [B, ...] -> a learned constant [B, H, W, C], which begins as ones."""

    def __init__(self, size: tuple[int, int, int], **kwargs: Any):
        super().__init__(**kwargs)
        self.size = size

    def build(self, input_shape: Any) -> None:
        self.value = self.add_weight(name="value", shape=self.size, initializer="ones")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.repeat(tf.convert_to_tensor(self.value)[None], tf.shape(inputs)[0], axis=0)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        return (input_shape[0], *self.size)


class NoiseAndBias(keras.layers.Layer):
    """h [B, H, W, C], noise [B, H, W, 1] -> h + s noise + b, s and b [C] learned, both from 0; without s if not `weighted`."""

    def __init__(self, weighted: bool, **kwargs: Any):
        super().__init__(**kwargs)
        self.weighted = weighted

    def build(self, input_shape: Any) -> None:
        channels = (input_shape[0][-1],)
        self.bias = self.add_weight(name="bias", shape=channels, initializer="zeros")
        if self.weighted:
            self.strength = self.add_weight(name="strength", shape=channels, initializer="zeros")

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        h, noise = inputs
        return h + (noise * self.strength + self.bias if self.weighted else self.bias)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape[0]


class AdaIN(keras.layers.Layer):
    """h [B, H, W, C], y = (s, b) [B, 2 C] -> (1 + s) (h - mean) / deviation + b, both over the pixels of a channel (eq. 1)."""

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        h, style = inputs
        mean, variance = tf.nn.moments(tf.cast(h, tf.float32), axes=[1, 2], keepdims=True)  # [B, 1, 1, C]
        s, b = tf.split(tf.cast(style, tf.float32)[:, None, None], 2, axis=-1)
        scale = (1.0 + s) * tf.math.rsqrt(variance + 1e-8)
        return h * tf.cast(scale, h.dtype) + tf.cast(b - mean * scale, h.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape[0]


class Blur(keras.layers.Layer):
    """[B, H, W, C] -> the same, each channel through the filter [1, 2, 1] / 4 along both sides, beyond which it is 0."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        kernel = tf.constant(np.repeat(BLUR[:, :, None, None], inputs.shape[-1], axis=2), inputs.dtype)
        return tf.nn.depthwise_conv2d(inputs, kernel, [1, 1, 1, 1], "SAME")


class MeanOfW(keras.layers.Layer):
    """w [B, L] as it is; keeps their running mean, which `follow` moves towards that of a batch."""

    def build(self, input_shape: Any) -> None:
        self.mean = self.add_weight(name="mean", shape=(input_shape[-1],), initializer="zeros", trainable=False)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs

    def follow(self, w: tf.Tensor, decay: float) -> None:
        """Set mean <- d mean + (1 - d) mean of w [B, L]."""
        self.mean.assign(decay * self.mean.value + (1.0 - decay) * tf.reduce_mean(w, axis=0))
