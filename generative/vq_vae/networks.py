"""Encoder and decoder around the grid of codes, and the prior, a recurrent network over the grid."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from core.layers.upsampling import CroppedConv2DTranspose
from core.seeds import child
from generative.vq_vae.config import VQVAEConfig

__all__ = ["Prior", "make_decoder", "make_encoder", "sides"]

BLOCKS = 2  # residual blocks on each side of the codes, as in the paper


def sides(shape: tuple[int, ...], levels: int) -> list[tuple[int, int]]:
    """Return the sides (h, w) of the feature maps from the picture [H, W, C] down to the grid of codes.

    >>> sides((28, 28, 1), 2)
    [(28, 28), (14, 14), (7, 7)]
    """
    found = [(shape[0], shape[1])]
    for _ in range(levels):
        found.append((-(-found[-1][0] // 2), -(-found[-1][1] // 2)))
    return found


def make_encoder(shape: tuple[int, ...], config: VQVAEConfig, seed: int) -> keras.Model:
    """Return pictures [B, H, W, C] -> z_e [B, h, w, D] float32."""
    start = _starts(seed, "encoder")
    x = h = keras.Input(shape)
    for level in range(config.levels):
        h = _conv(config.width * (1 + (level > 0)), 4, start, strides=2, activation="relu")(h)
    h = _conv(2 * config.width, 3, start)(h)
    return keras.Model(x, _conv(config.code_size, 1, start, dtype="float32")(_blocks(h, config, start)), name="encoder")


def make_decoder(shape: tuple[int, ...], config: VQVAEConfig, seed: int) -> keras.Model:
    """Return z_q [B, h, w, D] -> logits of the pixels [B, H, W, C] float32."""
    start = _starts(seed, "decoder")
    *larger, smallest = sides(shape, config.levels)
    z = keras.Input((*smallest, config.code_size))
    h = _blocks(_conv(2 * config.width, 3, start)(z), config, start)
    for level, size in reversed(list(enumerate(larger))):
        last = level == 0
        h = CroppedConv2DTranspose(
            shape[2] if last else config.width * (1 + (level > 1)),
            4,
            size,
            activation=None if last else "relu",
            kernel_initializer=start(),
            dtype="float32" if last else None,
        )(h)
    return keras.Model(z, h, name="decoder")


def _blocks(h: Any, config: VQVAEConfig, start: Callable[[], Any]) -> Any:
    """Residual blocks: ReLU, 3x3, ReLU, 1x1 beside the identity; a ReLU in the end.

    The 1x1 convolutions have no bias: TensorFlow 2.21 cannot fuse one with the addition and the ReLU behind it, complains, and
    leaves the whole graph as it is.
    """
    for _ in range(BLOCKS):
        inner = _conv(config.width, 3, start, activation="relu")(keras.layers.ReLU()(h))
        h = keras.layers.Add()([h, _conv(2 * config.width, 1, start, use_bias=False)(inner)])
    return keras.layers.ReLU()(h)


def _conv(filters: int, kernel: int, start: Callable[[], Any], **kwargs: Any) -> keras.layers.Layer:
    return keras.layers.Conv2D(filters, kernel, padding="same", kernel_initializer=start(), **kwargs)


def _starts(seed: int, name: str) -> Callable[[], Any]:
    """Return a function that gives each layer of a network its initialiser: He et al. (2015)."""
    numbers = itertools.count()
    return lambda: keras.initializers.HeNormal(seed=child(seed, name, next(numbers)))


class Prior(keras.Model):
    """p(codes) = prod_t p(c_t | c_1 ... c_(t-1)), row by row: a GRU (Cho et al., 2014) over the T places of an h x w grid.

    At each place it is told the code before, the code above and which place it is. `codes` and `places` are given as ones and
    zeros; a place without a code before or above has the code K.
    """

    def __init__(self, grid: tuple[int, int], config: VQVAEConfig, seed: int):
        super().__init__(name="prior")
        self.grid, self.codes, self.dropout = grid, config.codes, config.prior_dropout
        numbers = itertools.count()

        def dense(units: int, name: str) -> keras.layers.Layer:
            start = keras.initializers.GlorotUniform(seed=child(seed, "prior", next(numbers)))
            return keras.layers.Dense(units, kernel_initializer=start, dtype="float32", name=name)

        units, (height, width) = config.prior_hidden, grid
        self.inner = dense(units, "inputs")
        self.cell = keras.layers.GRUCell(
            units,
            kernel_initializer=keras.initializers.GlorotUniform(seed=child(seed, "prior", "kernel")),
            recurrent_initializer=keras.initializers.Orthogonal(seed=child(seed, "prior", "recurrent")),
            seed=child(seed, "prior", "dropout"),  # of a dropout that is off, which else would differ from run to run
            dtype="float32",
        )
        self.outer = dense(self.codes, "logits")
        self.inner.build((None, 2 * (self.codes + 1) + height * width))
        self.cell.build((None, units))
        self.outer.build((None, units))
        self.built = True

    def call(self, codes: tf.Tensor, key: tf.Tensor | None = None) -> tf.Tensor:
        """Return the logits [B, T, K] of every place given the codes [B, T] before it; with a key, units are dropped."""
        (height, width), B = self.grid, tf.shape(codes)[0]
        none = tf.fill((B, 1), tf.constant(self.codes, codes.dtype))
        before = tf.concat([none, codes[:, :-1]], axis=1)  # [B, T]
        above = tf.concat([tf.tile(none, (1, width)), codes[:, :-width]], axis=1)
        places = tf.tile(tf.range(height * width)[None], (B, 1))
        x = tf.transpose(self._dropped(self._inputs(before, above, places), key, 0), (1, 0, 2))  # [T, B, units]
        h = tf.scan(lambda h, x_t: self.cell(x_t, h)[0], x, tf.zeros_like(x[0]))  # [T, B, units]
        return self.outer(self._dropped(tf.transpose(h, (1, 0, 2)), key, 1))

    def _inputs(self, before: tf.Tensor, above: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        height, width = self.grid
        told = [
            tf.one_hot(before, self.codes + 1),
            tf.one_hot(above, self.codes + 1),
            tf.one_hot(places, height * width),
        ]
        return tf.nn.relu(self.inner(tf.concat(told, axis=-1)))

    def _dropped(self, x: tf.Tensor, key: tf.Tensor | None, which: int) -> tf.Tensor:
        """Return x with a share `dropout` of its entries at 0 and the others larger (Srivastava et al., 2014)."""
        if key is None or self.dropout == 0:
            return x
        keep = tf.random.stateless_uniform(tf.shape(x), tf.stack([key[0] + which, key[1]])) >= self.dropout
        return x * tf.cast(keep, tf.float32) / (1.0 - self.dropout)

    def draw(self, uniform: tf.Tensor) -> tf.Tensor:
        """Return codes [B, T] int32, place after place, by numbers from [0, 1) [T, B]: the code where the sum of
        probabilities passes the number."""
        (height, width), B = self.grid, tf.shape(uniform)[1]
        none = tf.fill((B,), self.codes)
        codes: list[tf.Tensor] = []
        h = tf.zeros((B, self.cell.units))
        for t in range(height * width):
            before, above = codes[t - 1] if t else none, codes[t - width] if t >= width else none
            h, _ = self.cell(self._inputs(before, above, tf.fill((B,), t)), h)
            p = tf.cumsum(tf.nn.softmax(self.outer(h)), axis=1)  # [B, K]
            passed = tf.reduce_sum(tf.cast(p <= uniform[t][:, None], tf.int32), axis=1)
            codes.append(tf.minimum(passed, self.codes - 1))
        return tf.stack(codes, axis=1)
