"""Memory for agents: a recurrent cell between the torso and the heads, and what acting, learning and exporting need of it.

The state of N episodes is a tuple of arrays [N, units] float32, (h, c) of an LSTM, (h,) of a GRU. An episode begins with zeros.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from core.layers.recurrent import RecurrentCell
from core.mirror import Mirror

__all__ = ["Memory", "forget", "starts"]

State = Sequence[np.ndarray]


class Memory:
    """torso -> cell -> a head for the policy and one for the value (Mnih et al., 2016, A3C-LSTM).

    `model` is one step, [x, *state] -> {"policy", "value", "next_h", ...}, and has all weights; `over_time` are the same layers
    over sequences. `torso` are layers from x [B, ...] to [B, F].
    """

    def __init__(
        self, kind: str, units: int, x: Any, torso: Sequence[Any], policy: Any, value: Any, seed: int, name: str
    ):
        self.cell = RecurrentCell(kind, units, seed)
        features = x
        for layer in torso:
            features = layer(features)
        self._torso = [layer.name for layer in torso]
        self.specs = tuple(tf.TensorSpec((None, units), tf.float32, part) for part in self.cell.parts)
        """Of a state, with the names of its arrays."""
        state = [keras.Input((units,), name=part) for part in self.cell.parts]
        after = self.cell(features, *state)
        following = {f"next_{part}": s for part, s in zip(self.cell.parts, after, strict=True)}
        self.model = keras.Model(
            [x, *state], {"policy": policy(after[0]), "value": value(after[0])} | following, name=name
        )

    @property
    def chains(self) -> tuple[list[Any], list[Any], list[Any]]:
        """torso, policy and value: what a mirror takes, beside `cell`."""
        layer = self.model.get_layer
        return [layer(name) for name in self._torso], [layer("policy")], [layer("value")]

    def fresh(self, n: int) -> tuple[np.ndarray, ...]:
        """Return the state of n episodes that begin."""
        return tuple(np.zeros((n, self.cell.units), np.float32) for _ in self.specs)

    def following(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the state after the step, of what `model` returns, by name."""
        return {f"next_{part}": outputs[f"next_{part}"] for part in self.cell.parts}

    def over_time(self, x: tf.Tensor, start: tf.Tensor, *state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return what the heads say, policy [M T, A] and value [M T], for M sequences of T steps, x [M, T, ...].

        `start` [M, T] bool says which steps begin an episode; `state` [M, units] stands before the first step. The gradient goes
        back to the beginning of an episode or of the sequence.
        """
        M, T = start.shape
        torso, [policy], [value] = self.chains
        features = tf.reshape(x, [M * T, *x.shape[2:]])
        for layer in torso:
            features = layer(features, training=True)
        in_time = [tf.transpose(tf.reshape(features, [M, T, -1]), [1, 0, 2]), tf.transpose(start)]
        h = tf.reshape(tf.transpose(self.cell.over_time(*in_time, *state), [1, 0, 2]), [M * T, self.cell.units])
        return policy(h), value(h)[:, 0]

    def mirrored(self, mirror: Mirror, x: np.ndarray, state: State) -> tuple[np.ndarray, np.ndarray, State]:
        """Return policy [N, A], value [N] and the next state in numpy, by a mirror of `chains` and `cell`."""
        torso, policy, value = mirror.chains
        (cell,) = mirror.cells
        state = cell(torso(x), state)
        return policy(state[0]), value(state[0])[:, 0], state


def forget(state: State, done: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the state with zeros for the episodes that are done [N] bool."""
    return tuple(np.where(done[:, None], np.float32(0), s) for s in state)


def starts(done: np.ndarray) -> np.ndarray:
    """Return which steps [T, N] of a rollout begin an episode, by which end one; the first of all has the state it is given."""
    return np.concatenate([np.zeros_like(done[:1]), done[:-1]])
