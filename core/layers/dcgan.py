"""The networks that the adversarial models share: those of DCGAN (Radford et al., 2016) for any size, perceptrons for the plane.

Weights start as N(0, 0.02^2) in the convolutional networks and as He et al. (2015) in the perceptrons, drawn from the seed.
Outputs are float32 whatever the precision of the run.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Literal

import keras

from core.layers.batch_norm import make_batch_norm
from core.layers.minibatch import MinibatchStd
from core.layers.spectral import SpectralNormalization
from core.layers.upsampling import CroppedConv2DTranspose, ResizeConv2D

__all__ = ["LEAST_SIZE", "Spectral", "discriminator", "generator", "mlp_discriminator", "mlp_generator", "sizes"]

LEAST_SIZE = 16  # pixels: 16 -> 8 -> 4 -> 2 -> 1
LEVELS = 4
Spectral = Literal["none", "divide", "watch"]
"""none: plain layers; divide: each kernel by its largest singular value; watch: plain, but the singular values are followed."""


def sizes(size: int) -> list[int]:
    """Return the sides of the feature maps from the image down: ceil(size / 2^k), k = 0 ... 4.

    >>> sizes(28)
    [28, 14, 7, 4, 2]
    """
    return [-(-size // 2**k) for k in range(LEVELS + 1)]


def generator(
    shape: tuple[int, ...],
    latent: int,
    width: int,
    seed: int,
    *,
    upsampling: Literal["transposed", "resize"] = "transposed",
) -> keras.Model:
    """Return G: z [B, latent] -> images [B, H, W, C] in [-1, 1]; `width` filters stand before the last layer, 8 width first.

    Dense, then four stride-2 5x5 transposed convolutions (or resize and convolve), batch norm and ReLU between them, tanh last.
    """
    start = _starts(seed)
    heights, widths = sizes(shape[0]), sizes(shape[1])
    filters = [8 * width, 4 * width, 2 * width, width, shape[2]]
    z = keras.Input((latent,))
    h = keras.layers.Dense(heights[-1] * widths[-1] * filters[0], use_bias=False, kernel_initializer=start())(z)
    h = keras.layers.Reshape((heights[-1], widths[-1], filters[0]))(h)
    for level in range(1, LEVELS + 1):
        h = keras.layers.ReLU()(make_batch_norm()(h))
        size, last = (heights[-1 - level], widths[-1 - level]), level == LEVELS
        upsample = {"transposed": CroppedConv2DTranspose, "resize": ResizeConv2D}[upsampling]
        h = upsample(filters[level], 5, size, use_bias=last, kernel_initializer=start())(h)
    return keras.Model(z, keras.layers.Activation("tanh", dtype="float32")(h), name="generator")


def discriminator(
    shape: tuple[int, ...],
    width: int,
    seed: int,
    *,
    batch_norm: bool,
    spectral: Spectral = "none",
    minibatch_std: bool = False,
) -> keras.Model:
    """Return D: images [B, H, W, C] -> raw outputs [B], no sigmoid.

    Four stride-2 5x5 convolutions with width, 2, 4 and 8 width filters, leaky ReLU 0.2, batch norm except after the first.
    """
    start, wrap = _starts(seed), _wrapper(spectral, seed)
    x = h = keras.Input(shape)
    for level in range(LEVELS):
        normed = batch_norm and level > 0
        conv = keras.layers.Conv2D(
            width * 2**level, 5, strides=2, padding="same", use_bias=not normed, kernel_initializer=start()
        )
        h = wrap(conv)(h)
        h = keras.layers.LeakyReLU(0.2)(make_batch_norm()(h) if normed else h)
    if minibatch_std:
        h = MinibatchStd()(h)
    h = wrap(keras.layers.Dense(1, kernel_initializer=start(), dtype="float32"))(keras.layers.Flatten()(h))
    return keras.Model(x, keras.layers.Reshape((), dtype="float32")(h), name="discriminator")


def mlp_generator(latent: int, outputs: int, hidden: int, layers: int, seed: int, scale: float = 1.0) -> keras.Model:
    """Return G: z [B, latent] -> points [B, outputs] of size `scale`, with `layers` hidden layers of leaky ReLU 0.02 units.

    With ReLU G is constant wherever z switches all units of a layer off, and a mode that lies there shrinks to a point.
    """
    dense = _dense(seed)
    z = h = keras.Input((latent,))
    for _ in range(layers):
        h = keras.layers.LeakyReLU(0.02)(dense(hidden)(h))
    h = dense(outputs, dtype="float32")(h)
    return keras.Model(z, keras.layers.Rescaling(scale, dtype="float32")(h), name="generator")


def mlp_discriminator(
    inputs: int, hidden: int, layers: int, seed: int, *, scale: float = 1.0, spectral: Spectral = "none"
) -> keras.Model:
    """Return D: points [B, inputs] of size `scale` -> raw outputs [B], with `layers` hidden layers of leaky ReLU 0.2 units."""
    dense, wrap = _dense(seed + 1), _wrapper(spectral, seed)
    x = keras.Input((inputs,))
    h = keras.layers.Rescaling(1 / scale)(x)
    for _ in range(layers):
        h = keras.layers.LeakyReLU(0.2)(wrap(dense(hidden))(h))
    h = wrap(dense(1, dtype="float32"))(h)
    return keras.Model(x, keras.layers.Reshape((), dtype="float32")(h), name="discriminator")


def _starts(seed: int) -> Callable[[], keras.initializers.Initializer]:
    numbers = itertools.count(100 * seed)
    return lambda: keras.initializers.RandomNormal(0.0, 0.02, seed=next(numbers))


def _dense(seed: int) -> Callable[..., keras.layers.Layer]:
    """Return a maker of dense layers. Their biases start at random: at 0 all units would bend in lines through the origin."""
    numbers = itertools.count(200 * seed)

    def make(units: int, **kwargs: str) -> keras.layers.Layer:
        weights = keras.initializers.HeNormal(seed=next(numbers))
        biases = keras.initializers.RandomUniform(-0.5, 0.5, seed=next(numbers))
        return keras.layers.Dense(units, kernel_initializer=weights, bias_initializer=biases, **kwargs)

    return make


def _wrapper(spectral: Spectral, seed: int) -> Callable[[keras.layers.Layer], keras.layers.Layer]:
    numbers = itertools.count(100 * seed)
    if spectral == "none":
        return lambda layer: layer
    return lambda layer: SpectralNormalization(layer, divide=spectral == "divide", seed=next(numbers))
