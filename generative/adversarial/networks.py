"""The networks of an adversarial model, as its data needs them: convolutional ones for pictures, perceptrons for the plane.

For pictures, of any size from 16 pixels up, square or not, three pairs of networks:

    dcgan    strided convolutions, one a level                            Radford, Metz and Chintala, 2016
    sn       a 3x3 and a strided 4x4 convolution a level                  Miyato et al., 2018, table 3
    resnet   a residual block a level                                     Gulrajani et al., 2017; Miyato et al., 2018, table 4

A level halves both sides, rounding up, until the smaller one has at most 4 pixels: 28 -> 14 -> 7 -> 4, 64 -> 32 -> 16 -> 8 -> 4.
G has the same sides in reverse. The level next to the picture has `width` filters, each further one twice as many.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import keras

from core.errors import require
from core.layers.batch_norm import make_batch_norm
from core.layers.leaky_relu import LeakyReLU
from core.layers.minibatch import MinibatchStd
from core.layers.spectral import SpectralNormalization
from core.layers.upsampling import CroppedConv2DTranspose, ResizeConv2D
from core.seeds import child
from generative.adversarial.settings import AdversarialConfig, Network
from generative.data.sources import Data, Mixture

__all__ = ["LEAST_SIZE", "Spectral", "levels", "make_discriminator", "make_features", "make_generator"]

LEAST_SIZE = 16  # pixels: at least two levels
DEEPEST = 4  # pixels of the smaller side at which the halving ends
Spectral = Literal["none", "divide", "watch"]
"""none: plain layers; divide: each kernel by its largest singular value; watch: plain, but the singular values are followed."""


def make_generator(data: Data, config: AdversarialConfig, seed: int) -> keras.Model:
    """Return G: z [B, latent] -> pictures [B, H, W, C] in [-1, 1] or points [B, 2], float32 at any precision.

    Raises UsageError for pictures of fewer than 16 pixels a side.
    """
    make = _Layers(child(seed, "generator"), config.network)
    z = keras.Input((config.latent,))
    if isinstance(data, Mixture):
        h = z
        for _ in range(config.layers):  # ReLU would make G constant where z switches all units of a layer off
            h = LeakyReLU(0.02)(make.perceptron(config.hidden)(h))
        h = make.perceptron(2, dtype="float32")(h)
        return keras.Model(z, keras.layers.Rescaling(data.scale, dtype="float32")(h), name="generator")
    _check_size(data)
    *larger, deepest = levels(data.shape)  # from the picture down
    filters = config.width * 2 ** (len(larger) - (config.network == "dcgan"))
    h = make.dense(deepest[0] * deepest[1] * filters, use_bias=config.network == "resnet")(z)
    h = keras.layers.Reshape((*deepest, filters))(h)
    for number, size in enumerate(reversed(larger), start=1):
        filters //= 2
        if config.network == "resnet":
            h = _up_block(h, filters, size, make)
            continue
        h = _activated(h)
        last = config.network == "dcgan" and number == len(larger)
        upsample = {"transposed": CroppedConv2DTranspose, "resize": ResizeConv2D}[config.upsampling]
        outputs = data.shape[2] if last else filters
        h = upsample(outputs, config.kernel, size, use_bias=last, kernel_initializer=make.start())(h)
    if config.network != "dcgan":
        h = make.conv(data.shape[2], 3)(_activated(h))
    return keras.Model(z, keras.layers.Activation("tanh", dtype="float32")(h), name="generator")


def make_discriminator(
    data: Data,
    config: AdversarialConfig,
    seed: int,
    *,
    batch_norm: bool,
    spectral: Spectral = "none",
    minibatch_std: bool = False,
) -> keras.Model:
    """Return D or the critic: pictures or points -> raw outputs [B], no sigmoid, float32 at any precision.

    Batch norm stands before every activation but the first, in resnet before every one but the last. Perceptrons have neither
    batch norm nor `minibatch_std`.
    """
    make = _Layers(child(seed, "discriminator"), config.network, spectral)
    x = h = keras.Input(data.shape)
    if isinstance(data, Mixture):
        h = keras.layers.Rescaling(1 / data.scale)(h)
        for _ in range(config.layers):
            h = LeakyReLU(0.2)(make.perceptron(config.hidden)(h))
        h = make.perceptron(1, dtype="float32")(h)
        return keras.Model(x, keras.layers.Reshape((), dtype="float32")(h), name="discriminator")
    h = _features(h, config, batch_norm, minibatch_std, make)
    h = make.dense(1, dtype="float32")(h)
    return keras.Model(x, keras.layers.Reshape((), dtype="float32")(h), name="discriminator")


def make_features(
    data: Data,
    config: AdversarialConfig,
    seed: int,
    *,
    batch_norm: bool,
    spectral: Spectral = "none",
    minibatch_std: bool = False,
) -> keras.Model:
    """Return D of pictures [B, H, W, C] without its last layer, -> [B, F], for plugins that have heads of their own.

    Raises UsageError for pictures of fewer than 16 pixels a side.
    """
    _check_size(data)
    x = keras.Input(data.shape)
    make = _Layers(child(seed, "discriminator"), config.network, spectral)
    return keras.Model(x, _features(x, config, batch_norm, minibatch_std, make), name="features")


def levels(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return the sides (h, w) of the feature maps from the picture [H, W, C] down.

    >>> levels((28, 28, 1))
    [(28, 28), (14, 14), (7, 7), (4, 4)]
    >>> levels((48, 64, 3))
    [(48, 64), (24, 32), (12, 16), (6, 8), (3, 4)]
    """
    height, width = shape[:2]
    sides = [(height, width)]
    while min(height, width) > DEEPEST:
        height, width = -(-height // 2), -(-width // 2)
        sides.append((height, width))
    return sides


def _check_size(data: Data) -> None:
    side = min(data.shape[:2])
    require(
        side >= LEAST_SIZE,
        f"{data.name} has {side} pixels a side; the networks need {LEAST_SIZE}, set data.size (and data.height, where there is "
        f"one) to {LEAST_SIZE} or more",
    )


# --- D up to its last layer ----------------------------------------------------------------------------------------------


def _features(x: Any, config: AdversarialConfig, batch_norm: bool, minibatch_std: bool, make: _Layers) -> Any:
    """Return the features [B, F] of pictures [B, H, W, C]."""
    count = len(levels(x.shape[1:])) - 1
    build = {"dcgan": _dcgan_features, "sn": _sn_features, "resnet": _resnet_features}[config.network]
    h = build(x, config, count, batch_norm, make)
    if minibatch_std:
        h = MinibatchStd()(h)
    if config.network != "resnet":
        return keras.layers.Flatten()(h)
    h = keras.layers.ReLU()(h)
    places = h.shape[1] * h.shape[2]
    h = keras.layers.GlobalAveragePooling2D()(h)
    if make.spectral == "divide":  # the sum, as in Miyato et al.: the mean's smaller scale could not be made up for
        h = keras.layers.Rescaling(places)(h)
    return h


def _dcgan_features(h: Any, config: AdversarialConfig, count: int, batch_norm: bool, make: _Layers) -> Any:
    for level in range(count):
        normed = batch_norm and level > 0
        h = make.conv(config.width * 2**level, config.kernel, strides=2, use_bias=not normed)(h)
        h = LeakyReLU(0.2)(make_batch_norm()(h) if normed else h)
    return h


def _sn_features(h: Any, config: AdversarialConfig, count: int, batch_norm: bool, make: _Layers) -> Any:
    for level in range(count + 1):
        filters = config.width * 2**level
        normed = batch_norm and level > 0
        h = make.conv(filters, 3, use_bias=not normed)(h)
        h = LeakyReLU(0.1)(make_batch_norm()(h) if normed else h)
        if level < count:
            h = make.conv(filters, config.kernel, strides=2, use_bias=not batch_norm)(h)
            h = LeakyReLU(0.1)(make_batch_norm()(h) if batch_norm else h)
    return h


def _resnet_features(h: Any, config: AdversarialConfig, count: int, batch_norm: bool, make: _Layers) -> Any:
    """Blocks that halve the sides, the first without a leading activation, then one that keeps them."""
    for level in range(count + 1):
        filters, down, first = config.width * 2 ** min(level, count), level < count, level == 0
        residual = h
        if not first:
            residual = keras.layers.ReLU()(make_batch_norm()(h) if batch_norm else h)
        inner = filters if first or not down else h.shape[-1]  # the published code widens in the second convolution
        residual = make.conv(inner, 3, gain=2.0)(residual)
        residual = make.conv(filters, 3, gain=2.0)(
            keras.layers.ReLU()(make_batch_norm()(residual) if batch_norm else residual)
        )
        shortcut = h
        if down:
            residual = _halved(residual)
            shortcut = _halved(h) if first else h
        if down or h.shape[-1] != filters:
            shortcut = make.conv(filters, 1)(shortcut)
        if down and not first:
            shortcut = _halved(shortcut)
        h = keras.layers.Add()([residual, shortcut])
    return h


# --- pieces -----------------------------------------------------------------------------------------------------------------


def _up_block(h: Any, filters: int, size: tuple[int, int], make: _Layers) -> Any:
    """A residual block of G: batch norm, ReLU, larger, 3x3, batch norm, ReLU, 3x3; beside it larger, 1x1."""
    residual = ResizeConv2D(filters, 3, size, kernel_initializer=make.start(2.0))(_activated(h))
    residual = make.conv(filters, 3, gain=2.0)(_activated(residual))
    shortcut = ResizeConv2D(filters, 1, size, kernel_initializer=make.start())(h)
    return keras.layers.Add()([residual, shortcut])


def _activated(h: Any) -> Any:
    return keras.layers.ReLU()(make_batch_norm()(h))


def _halved(h: Any) -> Any:
    return keras.layers.AveragePooling2D(2, padding="same")(h)


class _Layers:
    """Makes the layers of one network: each with a seed of its own, initialised as the network's paper has it.

    N(0, 0.02^2) for dcgan and sn, Glorot and Bengio (2010) for resnet, scaled by `gain` in variance inside a block; He et al.
    (2015) for perceptrons, whose biases start at random: at 0 all units would bend in lines through the origin.
    """

    def __init__(self, seed: int, network: Network, spectral: Spectral = "none"):
        self.seed, self.network, self.spectral = seed, network, spectral
        self.count = 0

    def _next(self, what: str) -> int:
        self.count += 1
        return child(self.seed, what, self.count)

    def start(self, gain: float = 1.0) -> keras.initializers.Initializer:
        if self.network == "resnet":
            return keras.initializers.VarianceScaling(gain, "fan_avg", "uniform", seed=self._next("kernel"))
        return keras.initializers.RandomNormal(0.0, 0.02, seed=self._next("kernel"))

    def wrapped(self, layer: keras.layers.Layer) -> Callable[[Any], Any]:
        if self.spectral == "none":
            return layer
        return SpectralNormalization(layer, divide=self.spectral == "divide", seed=self._next("power iteration"))

    def conv(self, filters: int, kernel: int, gain: float = 1.0, **kwargs: Any) -> Callable[[Any], Any]:
        start = self.start(gain)
        return self.wrapped(keras.layers.Conv2D(filters, kernel, padding="same", kernel_initializer=start, **kwargs))

    def dense(self, units: int, **kwargs: Any) -> Callable[[Any], Any]:
        return self.wrapped(keras.layers.Dense(units, kernel_initializer=self.start(), **kwargs))

    def perceptron(self, units: int, **kwargs: Any) -> Callable[[Any], Any]:
        weights = keras.initializers.HeNormal(seed=self._next("kernel"))
        biases = keras.initializers.RandomUniform(-0.5, 0.5, seed=self._next("bias"))
        return self.wrapped(keras.layers.Dense(units, kernel_initializer=weights, bias_initializer=biases, **kwargs))
