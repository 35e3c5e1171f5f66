"""Recurrent cells with one formula for TensorFlow and numpy, and their way through sequences in which episodes end.

LSTM: Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000); GRU: Cho et al. (2014), its reset gate behind
the product, as cuDNN has it; RNN: the plain cell of Elman (1990). Weights lie as in Keras: gates i, f, g, o of an LSTM, z, r, n
of a GRU, side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from core.layers.torsos import orthogonal

__all__ = ["RecurrentCell", "products"]

Function = Callable[[Any], Any]


def lstm(
    xW: Any, hU: Any, state: Sequence[Any], sigmoid: Function = tf.sigmoid, tanh: Function = tf.tanh
) -> tuple[Any, Any]:
    """Return (h_t, c_t) [N, H] for x_t W and h_{t-1} U with their bias [N, 4H], and (h_{t-1}, c_{t-1}) [N, H]."""
    _, c = state
    i, f, g, o = _gates(xW + hU, 4)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def gru(xW: Any, hU: Any, state: Sequence[Any], sigmoid: Function = tf.sigmoid, tanh: Function = tf.tanh) -> tuple[Any]:
    """Return (h_t,) [N, H] for x_t W and h_{t-1} U, each with its bias [N, 3H], and (h_{t-1},) [N, H]."""
    (h,) = state
    (z_x, r_x, n_x), (z_h, r_h, n_h) = _gates(xW, 3), _gates(hU, 3)
    z, r = sigmoid(z_x + z_h), sigmoid(r_x + r_h)
    return (z * h + (1 - z) * tanh(n_x + r * n_h),)


def rnn(xW: Any, hU: Any, state: Sequence[Any], sigmoid: Function = tf.sigmoid, tanh: Function = tf.tanh) -> tuple[Any]:
    """Return (h_t,) [N, H] for x_t W with its bias and h_{t-1} U [N, H]."""
    return (tanh(xW + hU),)


def products(x: Any, h: Any, W: Any, U: Any, b: Any) -> tuple[Any, Any]:
    """Return x W [N, G H] and h U [N, G H] with their biases: b [G H] is the first's, b [2, G H] those of both."""
    return (x @ W + b, h @ U) if len(b.shape) == 1 else (x @ W + b[0], h @ U + b[1])


def _gates(z: Any, number: int) -> list[Any]:
    H = z.shape[-1] // number
    return [z[:, k * H : (k + 1) * H] for k in range(number)]


CELLS: dict[str, tuple[Callable[..., tuple[Any, ...]], int, tuple[str, ...]]] = {
    "lstm": (lstm, 4, ("h", "c")),
    "gru": (gru, 3, ("h",)),
    "rnn": (rnn, 1, ("h",)),
}
"""Formula, gates and the names of the parts of the state, of which h is the output."""


class RecurrentCell(keras.layers.Layer):
    """One step of an `lstm`, `gru` or `rnn` of H `units`, in float32: `cell(x [N, D], *state [N, H])` is the next state, a tuple.

    Weights: `kernel` [D, G H], `recurrent_kernel` [H, G H], `bias` [G H] or of a GRU [2, 3H]. They start orthogonal, each from
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
        shape = (2, width) if self.kind == "gru" else (width,)
        self.bias = self.add_weight(shape=shape, initializer="zeros", name="bias")
        if self.kind == "lstm":
            self.bias.assign([0.0] * H + [1.0] * H + [0.0] * 2 * H)

    def call(self, x: Any, *state: Any) -> tuple[Any, ...]:
        W, U, b = (tf.convert_to_tensor(v) for v in self.weights)
        return self.formula(*products(x, state[0], W, U, b), state)

    def over_time(self, x: Any, start: Any, *state: Any) -> Any:
        """Return the outputs h [T, N, H] for x [T, N, D]; where `start` [T, N] is true, the state is zeros before the step.

        `state` [N, H] stands before the first step. The products with x are one for all steps, and so is the gradient of U, a sum
        over steps: half the time of an update.
        """
        W, U, b = (tf.convert_to_tensor(v) for v in self.weights)
        x_bias, h_bias = (b, tf.zeros_like(b)) if len(b.shape) == 1 else (b[0], b[1])
        keep = tf.cast(~start, tf.float32)[..., None]  # [T, N, 1]

        @tf.custom_gradient
        def outputs(xW: Any, U: Any, offset: Any, *state: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
            def step(before: tuple[Any, ...], now: tuple[Any, Any, Any]) -> tuple[Any, ...]:
                xW, kept, offset = now
                before = tuple(kept * s for s in before)
                return self.formula(xW, before[0] @ U + offset, before)

            with tf.GradientTape() as tape:
                tape.watch([xW, offset, *state])
                h = tf.scan(step, (xW, keep, offset), state)[0]  # [T, N, H]

            def gradient(dh: Any) -> tuple[Any, ...]:
                dxW, dhU, *dstate = tape.gradient(h, [xW, offset, *state], dh)
                h_before = keep * tf.concat([state[0][None], h[:-1]], axis=0)
                return dxW, tf.einsum("tnh,tng->hg", h_before, dhU), dhU, *dstate

            return h, gradient

        xW = tf.tensordot(tf.cast(x, tf.float32), W, 1) + x_bias  # [T, N, G H]
        return outputs(xW, U, tf.zeros_like(xW) + h_bias, *map(tf.convert_to_tensor, state))

    def through(self, x: Any, *state: Any) -> tuple[Any, tuple[Any, ...]]:
        """Return the outputs h [T, N, H] for x [T, N, D] and the state after them; `state` [N, H] stands before the first step.

        Of an LSTM all steps are one operation of TensorFlow's, which takes a third of the time of `over_time`.
        """
        if self.kind != "lstm":
            h = self.over_time(x, tf.zeros(tf.shape(x)[:2], tf.bool), *state)
            return h, (h[-1],)
        W, U, b = (tf.convert_to_tensor(v) for v in self.weights)
        h, c = _fused_lstm(tf.cast(x, tf.float32), *state, tf.concat([W, U], axis=0), b)
        return h, (h[-1], c[-1])


@tf.custom_gradient
def _fused_lstm(x: Any, h: Any, c: Any, w: Any, b: Any) -> tuple[Any, Any]:
    """Return all h and c [T, N, H] for x [T, N, D], the state before [N, H], weights of (x, h) [D + H, 4H] and their bias [4H].

    The gradient that TensorFlow registers for this operation is that of another order of gates, so it is named here.
    """
    without = tf.zeros_like(b[: b.shape[0] // 4])  # peepholes
    given = {"seq_len_max": tf.shape(x, tf.int64)[0], "x": x, "cs_prev": c, "h_prev": h, "w": w, "b": b}
    given |= {"wci": without, "wcf": without, "wco": without, "use_peephole": False}
    made = tf.raw_ops.BlockLSTMV2(**given, cell_clip=0)

    def gradient(dh: Any, dc: Any) -> tuple[Any, ...]:
        found = tf.raw_ops.BlockLSTMGradV2(**given, **made._asdict(), cs_grad=dc, h_grad=dh)
        return found.x_grad, found.h_prev_grad, found.cs_prev_grad, found.w_grad, found.b_grad

    return (made.h, made.cs), gradient
