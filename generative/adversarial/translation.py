"""What GANs that translate pictures share: a discriminator of patches, and measures of translations beside the true pictures."""

from __future__ import annotations

from typing import Any, Literal

import keras
import numpy as np

from core.layers.batch_norm import make_batch_norm
from core.layers.leaky_relu import LeakyReLU
from core.layers.translation import InstanceNorm
from core.seeds import child
from generative.data.sources import Data

__all__ = ["Drawn", "Norm", "Shown", "make_norm", "make_patch_discriminator"]

Norm = Literal["batch", "instance"]
DEEPEST = 8  # times `width` filters at most


def make_norm(norm: Norm) -> keras.layers.Layer:
    """Return batch norm of the whole batch, or instance norm, which is batch norm of one picture."""
    return make_batch_norm() if norm == "batch" else InstanceNorm()


def make_patch_discriminator(
    shape: tuple[int, int, int], width: int, layers: int, norm: Norm, seed: int
) -> keras.Model:
    """Return D: pictures [B, H, W, C] -> raw outputs [B, h, w] float32, each of a patch (Isola et al., 2017, section 6.1.2).

    `layers` 4x4 convolutions of stride 2, one of stride 1, and one that ends in a number: with 0, 1, 2, 3 layers an output sees
    7, 16, 34, 70 pixels a side. No norm in the first one.
    """
    x = h = keras.Input(shape)
    for level in range(layers + 1):
        filters, stride, normed = width * min(2**level, DEEPEST), 2 if level < layers else 1, level > 0
        h = _conv(filters, stride, seed, level, use_bias=not normed)(h)
        h = LeakyReLU(0.2)(make_norm(norm)(h) if normed else h)
    h = _conv(1, 1, seed, layers + 1, dtype="float32")(h)
    return keras.Model(x, keras.layers.Reshape(h.shape[1:3], dtype="float32")(h), name="discriminator")


def _conv(filters: int, stride: int, seed: int, level: int, **kwargs: Any) -> keras.layers.Layer:
    start = keras.initializers.RandomNormal(0.0, 0.02, seed=child(seed, "discriminator", level))
    return keras.layers.Conv2D(filters, 4, strides=stride, padding="same", kernel_initializer=start, **kwargs)


class Shown(Data):
    """Pictures that are there, to be compared with translations by `Evaluation`; nothing is learned from them."""

    def __init__(self, images: np.ndarray, protocol: str, digits: int = 0):
        self.images, self.protocol, self.digits = images, protocol, digits
        self.name, self.shape = "held-out pictures", images.shape[1:]

    def draw(self, seed: int, position: int, batch: int) -> np.ndarray:
        return self.images[np.random.default_rng([seed, position]).integers(len(self.images), size=batch)]

    def reference(self, count: int) -> np.ndarray:
        return self.images[:count]


class Drawn:
    """Translations, [N, H, W, C] uint8, to be measured by `Evaluation` as samples."""

    def __init__(self, images: np.ndarray):
        self.images = images

    def sample(self, n: int, seed: int) -> np.ndarray:
        return self.images[:n]
