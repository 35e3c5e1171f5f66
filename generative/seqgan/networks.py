"""The recurrent network that writes, also the oracle, and the convolutional one that judges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from core.layers.recurrent import RecurrentCell
from core.seeds import child

__all__ = ["Discriminator", "Writer", "chosen"]

START = 0  # the symbol that stands before each sequence, which is one of the vocabulary, as in the published program


class Writer(keras.Model):
    """p(x_1, ..., x_T), x_t one of V symbols: an LSTM reads x_{t-1} and predicts x_t. Weights come from N(0, deviation^2)."""

    def __init__(self, symbols: int, embedding: int, units: int, deviation: float, seed: int, name: str):
        super().__init__(name=name, dtype="float32")
        self.units = units
        self.embedding = keras.layers.Embedding(symbols, embedding, dtype="float32")
        self.cell: Any = RecurrentCell("lstm", units, seed)
        self.logits = keras.layers.Dense(symbols, dtype="float32")
        self.embedding.build()
        self.cell.build((1, embedding), (1, units), (1, units))
        self.logits.build((None, units))
        self.built = True
        for number, v in enumerate(self.trainable_variables):
            rng = np.random.default_rng(child(seed, "weight", number))
            v.assign(deviation * rng.standard_normal(v.shape))

    def call(self, x: Any) -> Any:
        """Return the logits [B, T, V] of each symbol of x [B, T] int32, given those before it."""
        B = tf.shape(x)[0]
        before = tf.concat([tf.fill([1, B], START), tf.transpose(x)[:-1]], axis=0)  # [T, B]
        h, _ = self.cell.through(self.embedding(before), *self.fresh(B))  # [T, B, H]
        return self.logits(tf.transpose(h, [1, 0, 2]))

    def nll(self, x: Any) -> Any:
        """Return -log p(x_t | x_1 ... x_{t-1}) [B, T] of x [B, T] int32."""
        return tf.nn.sparse_softmax_cross_entropy_with_logits(x, self(x))

    def fresh(self, n: Any) -> list[Any]:
        """Return the state (h, c) [n, H] before a sequence."""
        return [tf.zeros((n, self.units))] * 2

    def read(self, symbol: Any, state: Sequence[Any]) -> list[Any]:
        """Return the state after one more symbol [n] int32."""
        return list(self.cell(self.embedding(symbol), *state))

    def go_on(self, x: Any, t: Any, state: Sequence[Any], u: Any, temperature: Any = 1.0) -> Any:
        """Return x [n, T] int32 with all symbols from place t on drawn anew, by u [n, T] in [0, 1).

        `state` is that after those before place t.
        """
        places = tf.range(tf.shape(x)[1])
        h, c = state
        for place in tf.range(t, tf.shape(x)[1]):
            symbol = chosen(self.logits(h) / temperature, u[:, place])
            x = tf.where(places == place, symbol[:, None], x)
            h, c = self.read(symbol, (h, c))
        return x

    def write(self, u: Any, temperature: Any = 1.0) -> Any:
        """Return sequences [n, T] int32, drawn by u [n, T] in [0, 1)."""
        n = tf.shape(u)[0]
        start = self.read(tf.fill([n], START), self.fresh(n))
        return self.go_on(tf.zeros_like(u, tf.int32), 0, start, u, temperature)


def chosen(logits: Any, u: Any) -> Any:
    """Return a symbol [n] int32 of softmax(logits [n, V]): the first whose cumulated probability exceeds u [n] in [0, 1)."""
    up_to = tf.cumsum(tf.nn.softmax(logits), axis=1)
    u = u * up_to[:, -1] * (1 - 1e-6)  # sums are rounded
    return tf.reduce_sum(tf.cast(up_to <= u[:, None], tf.int32), axis=1)


class Discriminator(keras.Model):
    """Logit [B] that sequences [B, T] are the oracle's: filters of many widths, their largest answers over time, a highway layer.

    Zhang and LeCun (2015) for the filters, Srivastava et al. (2015) for the highway; the paper's section 3.2.
    """

    def __init__(
        self, symbols: int, embedding: int, widths: Sequence[int], filters: Sequence[int], keep: float, seed: int
    ):
        super().__init__(name="discriminator", dtype="float32")
        self.keep, F = keep, sum(filters)

        def start(*name: str | int) -> Any:
            return keras.initializers.GlorotUniform(seed=child(seed, *name))

        def dense(units: int, name: str, **more: Any) -> Any:
            layer = keras.layers.Dense(units, kernel_initializer=start(name), dtype="float32", name=name, **more)
            layer.build((None, F))
            return layer

        uniform = keras.initializers.RandomUniform(-1.0, 1.0, seed=child(seed, "embedding"))
        self.embedding = keras.layers.Embedding(symbols, embedding, uniform, dtype="float32")
        self.embedding.build()
        self.convolutions = [
            keras.layers.Conv1D(
                number, width, activation="relu", kernel_initializer=start("width", width, k), dtype="float32"
            )
            for k, (width, number) in enumerate(zip(widths, filters, strict=True))
        ]
        for layer in self.convolutions:
            layer.build((None, None, embedding))
        self.transform = dense(F, "transform", activation="relu")
        self.gate = dense(F, "gate", activation="sigmoid", bias_initializer=keras.initializers.Constant(-2.0))
        self.logit = dense(1, "logit")
        self.built = True

    def call(self, x: Any, key: Any = None) -> Any:
        """Return logits [B] of x [B, T] int32; with a key [2] some features are dropped."""
        e = self.embedding(x)
        features = tf.concat([tf.reduce_max(layer(e), axis=1) for layer in self.convolutions], axis=1)  # [B, F]
        gate = self.gate(features)
        features = gate * self.transform(features) + (1 - gate) * features
        if key is not None and self.keep < 1:
            kept = tf.random.stateless_uniform(tf.shape(features), key) < self.keep
            features *= tf.cast(kept, tf.float32) / self.keep
        return self.logit(features)[:, 0]

    def decay(self) -> Any:
        """Return half the sum of the squared weights of the last layer."""
        return tf.add_n([tf.nn.l2_loss(v) for v in self.logit.trainable_variables])
