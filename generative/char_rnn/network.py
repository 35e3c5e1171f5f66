"""The network: symbols in, recurrent layers, logits of the next symbol out; and how one of them is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from core.layers.recurrent import RecurrentCell
from core.seeds import child
from generative.char_rnn.config import CharRNNConfig

__all__ = ["Network", "drawn"]

State = Sequence[Any]
"""S arrays [B, H], those of the first layer first: of an LSTM h and c of each layer, of other cells h."""


class Network(keras.Model):
    """p(next of V symbols | symbols so far), which stand in the state."""

    def __init__(self, symbols: int, config: CharRNNConfig, seed: int):
        super().__init__(name="network", dtype="float32")
        self.symbols, units = symbols, config.units
        width = config.embedding or symbols
        start = keras.initializers.RandomNormal(stddev=1.0, seed=child(seed, "embedding"))
        self.embedding = keras.layers.Embedding(symbols, width, start) if config.embedding else None
        self.cells: list[Any] = [RecurrentCell(config.cell, units, seed, f"layer_{k}") for k in range(config.layers)]
        glorot = keras.initializers.GlorotUniform(seed=child(seed, "logits"))
        self.logits = keras.layers.Dense(symbols, kernel_initializer=glorot, dtype="float32")
        self.parts = [f"{part}_{k}" for k, cell in enumerate(self.cells) for part in cell.parts]
        """Names of the arrays of a state."""
        if self.embedding is not None:
            self.embedding.build()
        for k, cell in enumerate(self.cells):
            cell.build((None, units if k else width), *[(None, units)] * len(cell.parts))
        self.logits.build((None, units))
        self.built = True

    def call(self, numbers: Any, *state: Any) -> tuple[Any, list[Any]]:
        """Return the logits [B, V] of what follows symbols number [B], and the state after them."""

        def step(cell: RecurrentCell, x: Any, own: State) -> tuple[Any, State]:
            after = cell(x, *own)
            return after[0], after

        return self._pass(numbers, state, step)

    def through(self, numbers: Any, state: State) -> tuple[Any, list[Any]]:
        """Return the logits [T, B, V] of what follows each of the symbols [T, B], and the state after the last."""
        return self._pass(numbers, state, lambda cell, x, own: cell.through(x, *own))

    def _pass(self, numbers: Any, state: State, run: Callable[..., tuple[Any, State]]) -> tuple[Any, list[Any]]:
        x = tf.one_hot(numbers, self.symbols) if self.embedding is None else self.embedding(numbers)
        before, after = iter(state), list[Any]()
        for cell in self.cells:
            x, own = run(cell, x, [next(before) for _ in cell.parts])
            after += own
        return self.logits(x), after


def drawn(logits: Any, u: Any, temperature: Any, top_k: Any) -> Any:
    """Return a symbol [B] int32 of softmax(logits [B, V] / temperature) among its `top_k` likeliest, of u [B] in [0, 1).

    It is the first whose cumulated probability exceeds u. Number 0, which stands for rare ones, is never drawn.
    """
    V = logits.shape[1]
    allowed = tf.range(V) > 0
    logits = tf.where(allowed, logits, -1e9)
    least = tf.math.top_k(logits, top_k).values[:, -1:]
    logits = tf.where(logits < least, -1e9, logits)
    below = tf.cumsum(tf.nn.softmax(logits / tf.maximum(temperature, 1e-6)), axis=1)  # [B, V]
    u = tf.minimum(u[:, None] * below[:, -1:], below[:, -1:] * (1 - 1e-6))
    return tf.reduce_sum(tf.cast(below <= u, tf.int32), axis=1)
