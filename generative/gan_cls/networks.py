"""The networks of GAN-CLS: 64x64 pictures in [-1, 1], captions as vectors of a text encoder. Outputs are float32.

Kernels start as N(0, 0.02^2), those that reduce the text as He et al. (2015); batch norm with decay 0.9 stands behind every
convolution but each network's last and the first of D and of the picture encoder, in D only if it is asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import keras

from core.layers.batch_norm import make_batch_norm
from core.layers.leaky_relu import LeakyReLU
from core.layers.text import Tile, WordAttention
from core.layers.upsampling import ResizeConv2D
from core.seeds import child

__all__ = ["discriminator_head", "discriminator_trunk", "generator", "image_encoder"]

ALPHA = 0.2  # slope of leaky ReLU


def generator(text: int, latent: int, width: int, reduced: int, seed: int, words: bool = False) -> keras.Model:
    """Return G: (z [B, latent], text [B, text]) -> pictures [B, 64, 64, 3]; the maps have 8, 4, 2 and 1 `width` filters.

    The text is reduced to `reduced` numbers and joined to z; dense to 4x4, residual block, resize-convolution to 8x8, residual
    block, three more resize-convolutions, tanh. With `words` there are two further inputs, the words' vectors [B, T, text] and
    ids [B, T]: each of the 8x8 places asks them before the second residual block.
    """
    layers = _Layers(seed)
    z, t = keras.Input((latent,)), keras.Input((text,))
    said = _word_inputs(text) if words else []
    h = keras.layers.Concatenate()([z, layers.reduce(t, reduced)])
    h = keras.layers.Reshape((4, 4, 8 * width))(layers.dense(16 * 8 * width, use_bias=False)(h))
    h = layers.residual(layers.norm(h), 2 * width, keras.layers.ReLU)
    h = layers.norm(layers.larger(4 * width, 8)(h))
    if words:
        h = keras.layers.Concatenate()([h, layers.ask(h, *said)[1]])
    h = layers.residual(h, width, keras.layers.ReLU)
    for filters, size in ((2 * width, 16), (width, 32)):
        h = keras.layers.ReLU()(layers.norm(layers.larger(filters, size)(h)))
    h = layers.larger(3, 64, use_bias=True)(h)
    return keras.Model([z, t, *said], keras.layers.Activation("tanh", dtype="float32")(h), name="generator")


def discriminator_trunk(width: int, seed: int, batch_norm: bool) -> keras.Model:
    """Return D's part that sees the picture alone: [B, 64, 64, 3] -> [B, 4, 4, 8 width].

    Four stride-2 4x4 convolutions with width to 8 width filters, then a residual block. It runs once for a real picture,
    whichever captions that is then shown with.
    """
    layers = _Layers(seed, batch_norm)
    x = keras.Input((64, 64, 3))
    h = layers.residual(layers.down(x, width, last_active=False), 2 * width, _leaky)
    return keras.Model(x, h, name="discriminator_trunk")


def discriminator_head(
    text: int, width: int, reduced: int, seed: int, batch_norm: bool, words: bool = False
) -> keras.Model:
    """Return D's part that compares: (trunk's maps [B, 4, 4, 8 width], text [B, text]) -> raw outputs [B], no sigmoid.

    With `words` each place also asks the words, two further inputs as in G, and sees what it asked for, what it got and their
    product, which is large where the words say what the place shows.
    """
    layers = _Layers(seed, batch_norm)
    maps, t = keras.Input((4, 4, 8 * width)), keras.Input((text,))
    said = _word_inputs(text) if words else []
    h = Tile()([maps, layers.reduce(t, reduced)])
    if words:
        q, c = layers.ask(maps, *said)
        h = keras.layers.Concatenate()([h, q, c, keras.layers.Multiply()([q, c])])
    h = _leaky()(layers.norm(layers.conv(8 * width, 1)(h)))
    h = layers.conv(1, 4, padding="valid", use_bias=True, dtype="float32")(h)
    return keras.Model([maps, t, *said], keras.layers.Reshape((), dtype="float32")(h), name="discriminator_head")


def image_encoder(outputs: int, width: int, seed: int, words: bool = False) -> keras.Model:
    """Return the picture's half of the joint embedding: [B, 64, 64, 3] -> [B, outputs]; four stride-2 convolutions, dense.

    With `words` it has a second output: the vectors of the 4x4 places [B, 16, outputs], to compare words with.
    """
    layers = _Layers(seed)
    x = keras.Input((64, 64, 3))
    maps = layers.down(x, width)
    v = layers.dense(outputs, dtype="float32")(keras.layers.Flatten()(maps))
    if not words:
        return keras.Model(x, v, name="image_encoder")
    regions = keras.layers.Reshape((16, outputs), dtype="float32")(layers.conv(outputs, 1, dtype="float32")(maps))
    return keras.Model(x, [v, regions], name="image_encoder")


def _word_inputs(text: int) -> list[keras.KerasTensor]:
    return [keras.Input((None, text)), keras.Input((None,), dtype="int32")]


def _leaky() -> keras.layers.Layer:
    return LeakyReLU(ALPHA)


class _Layers:
    """Makers of layers; the kernel of each is drawn from a seed of its own, a child of the network's."""

    def __init__(self, seed: int, batch_norm: bool = True):
        self._seeds = (child(seed, "layer", number) for number in itertools.count())
        self._batch_norm = batch_norm

    def _start(self) -> keras.initializers.Initializer:
        return keras.initializers.RandomNormal(0.0, 0.02, seed=next(self._seeds))

    def dense(self, units: int, **kwargs: Any) -> keras.layers.Layer:
        return keras.layers.Dense(units, kernel_initializer=self._start(), **kwargs)

    def conv(
        self, filters: int, kernel: int, strides: int = 1, *, use_bias: bool = False, **kwargs: str
    ) -> keras.layers.Layer:
        same = {"padding": "same", **kwargs}
        biased = use_bias or not self._batch_norm  # batch norm has a shift of its own
        return keras.layers.Conv2D(filters, kernel, strides, use_bias=biased, kernel_initializer=self._start(), **same)

    def larger(self, filters: int, size: int, use_bias: bool = False) -> keras.layers.Layer:
        return ResizeConv2D(filters, 3, (size, size), use_bias=use_bias, kernel_initializer=self._start())

    def norm(self, h: keras.KerasTensor) -> keras.KerasTensor:
        return make_batch_norm()(h) if self._batch_norm else h

    def reduce(self, t: keras.KerasTensor, units: int) -> keras.KerasTensor:
        """Return [B, units] of captions [B, E], as large as z: only the direction of a caption's vector has been learned."""
        start = keras.initializers.HeNormal(seed=next(self._seeds))
        return _leaky()(keras.layers.Dense(units, kernel_initializer=start)(self._as_large_as_noise(t)))

    def _as_large_as_noise(self, t: keras.KerasTensor) -> keras.KerasTensor:
        t = keras.layers.UnitNormalization(dtype="float32")(t)
        return keras.layers.Rescaling(t.shape[-1] ** 0.5, dtype="float32")(t)

    def ask(
        self, h: keras.KerasTensor, words: keras.KerasTensor, ids: keras.KerasTensor, units: int = 64
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """Return what the places of h [B, H, W, C] ask for and what the words [B, T, E] answer, [B, H, W, units] each."""
        words = self._as_large_as_noise(words)

        def start() -> keras.initializers.Initializer:
            return keras.initializers.GlorotUniform(seed=next(self._seeds))

        q = keras.layers.Conv2D(units, 1, kernel_initializer=start())(h)
        k, v = (keras.layers.Dense(units, kernel_initializer=start())(words) for _ in range(2))
        return q, WordAttention(dtype="float32")([q, k, v, ids])

    def down(self, x: keras.KerasTensor, width: int, last_active: bool = True) -> keras.KerasTensor:
        h = _leaky()(self.conv(width, 4, 2, use_bias=True)(x))
        for level in (1, 2, 3):
            h = self.norm(self.conv(width * 2**level, 4, 2)(h))
            h = _leaky()(h) if level < 3 or last_active else h
        return h

    def residual(
        self, h: keras.KerasTensor, inside: int, active: Callable[[], keras.layers.Layer]
    ) -> keras.KerasTensor:
        """Return active(h + f(h)); f: 1x1 and 3x3 convolutions of `inside` filters, then 3x3 back to those of h."""
        f = active()(self.norm(self.conv(inside, 1)(h)))
        f = active()(self.norm(self.conv(inside, 3)(f)))
        f = self.norm(self.conv(h.shape[-1], 3)(f))
        return active()(keras.layers.Add()([h, f]))
