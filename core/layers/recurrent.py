"""Recurrent cells with one formula for TensorFlow and numpy, and their way through sequences in which episodes end.

LSTM: Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000); GRU: Cho et al. (2014), its reset gate behind the
product, as cuDNN has it. Weights lie as in Keras: gates i, f, g, o of an LSTM, z, r, n of a GRU, side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from core.layers.torsos import orthogonal

__all__ = ["RecurrentCell", "gru", "lstm"]

Function = Callable[[Any], Any]


def lstm(
    xW: Any, state: Sequence[Any], U: Any, b: Any, sigmoid: Function = tf.sigmoid, tanh: Function = tf.tanh
) -> tuple[Any, Any]:
    """Return (h_t, c_t) [N, H] for x_t W [N, 4H], (h_{t-1}, c_{t-1}) [N, H], U [H, 4H] and b [4H]."""
    h, c = state
    i, f, g, o = _gates(xW + h @ U + b, 4)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def gru(
    xW: Any, state: Sequence[Any], U: Any, b: Any, sigmoid: Function = tf.sigmoid, tanh: Function = tf.tanh
) -> tuple[Any]:
    """Return (h_t,) [N, H] for x_t W [N, 3H], (h_{t-1},) [N, H], U [H, 3H] and b [2, 3H], of the input and of the state."""
    (h,) = state
    (z_x, r_x, n_x), (z_h, r_h, n_h) = _gates(xW + b[0], 3), _gates(h @ U + b[1], 3)
    z, r = sigmoid(z_x + z_h), sigmoid(r_x + r_h)
    return (z * h + (1 - z) * tanh(n_x + r * n_h),)


def _gates(z: Any, number: int) -> list[Any]:
    H = z.shape[-1] // number
    return [z[:, k * H : (k + 1) * H] for k in range(number)]


CELLS: dict[str, tuple[Callable[..., tuple[Any, ...]], int, tuple[str, ...]]] = {
    "lstm": (lstm, 4, ("h", "c")),
    "gru": (gru, 3, ("h",)),
}
"""Formula, gates and the names of the parts of the state, of which h is the output."""


class RecurrentCell(keras.layers.Layer):
    """One step of an `lstm` or `gru` with H `units`, in float32: `cell(x [N, D], *state [N, H])` is the next state, a tuple.

    Weights: `kernel` [D, G H], `recurrent_kernel` [H, G H], `bias` [4H] or [2, 3H]. They start orthogonal, each from
    (seed, name), and biases at 0, but for the LSTM's forget gate at 1 (Jozefowicz et al., 2015).
    """

    def __init__(self, kind: str, units: int, seed: int, name: str = "memory"):
        super().__init__(name=name, dtype="float32")
        self.formula, self.gates, self.parts = CELLS[kind]
        """`parts`: the names of the arrays of a state."""
        self.kind, self.units, self.seed = kind, units, seed

    def build(self, x: Sequence[int], *state: Sequence[int]) -> None:
        H, width = self.units, self.gates * self.units

        def weight(name: str, inputs: int) -> Any:
            start = orthogonal(1.0, self.seed, f"{self.name}_{name}")
            return self.add_weight(shape=(inputs, width), initializer=start, name=name)

        self.kernel, self.recurrent_kernel = weight("kernel", x[-1]), weight("recurrent_kernel", H)
        shape = (width,) if self.kind == "lstm" else (2, width)
        self.bias = self.add_weight(shape=shape, initializer="zeros", name="bias")
        if self.kind == "lstm":
            self.bias.assign([0.0] * H + [1.0] * H + [0.0] * 2 * H)

    def call(self, x: Any, *state: Any) -> tuple[Any, ...]:
        kernel, recurrent_kernel, bias = (keras.ops.convert_to_tensor(v) for v in self.weights)
        return self.formula(x @ kernel, state, recurrent_kernel, bias)

    def over_time(self, x: Any, start: Any, *state: Any) -> Any:
        """Return the outputs h [T, N, H] for x [T, N, D]; where `start` [T, N] is true, the state is zeros before the step.

        `state` [N, H] stands before the first step. The products with x are one for all steps.
        """
        kernel, recurrent_kernel, bias = (keras.ops.convert_to_tensor(v) for v in self.weights)
        keep = tf.cast(~start, tf.float32)[..., None]  # [T, N, 1]

        def step(before: tuple[Any, ...], now: tuple[Any, Any]) -> tuple[Any, ...]:
            xW, kept = now
            return self.formula(xW, [kept * s for s in before], recurrent_kernel, bias)

        return tf.scan(step, (tf.tensordot(tf.cast(x, tf.float32), kernel, 1), keep), state)[0]
