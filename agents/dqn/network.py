"""The network of `dqn`: values of actions or distributions of returns, in one stream or two, noisy or not."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from agents.dqn.config import DQNConfig
from agents.rl.networks import input_of, torso
from agents.rl.observations import Observations, is_own
from core.errors import require
from core.layers.noisy import NoisyDense
from core.layers.torsos import dense
from core.mirror import Mirror

__all__ = ["Network"]

Layers = list[keras.layers.Layer]


class Network:
    """s [B, ...] -> Q(s, a) [B, A], or Z numbers of each action's return [B, A, Z]: logits of atoms (c51) or quantiles (qr).

    With `noisy` every dense layer is a `NoisyDense` (below the heads not those of a network of one's own), and noise [B or 1,
    noise_width] of standard normals goes in beside s. Dueling: Q = V + A - mean A (Wang et al., 2016, eq. 9), for each of the Z.
    """

    def __init__(self, config: DQNConfig, observations: Observations, num_actions: int, seed: int):
        self.config, self.num_actions, self.seed = config, num_actions, seed
        self.atoms = np.linspace(config.v_min, config.v_max, config.atoms, dtype=np.float32)
        """Returns [Z] that c51 gives probabilities."""
        self.Z = {"none": 1, "c51": config.atoms, "qr": config.quantiles}[config.distribution]
        self.noises: list[Any] = []  # an input for each noisy layer
        whole = is_own(config.network) or observations.kind == "mixed"  # no row whose last layer streams may double
        below = [torso(observations, config.hidden, "relu", seed, network=config.network)]
        if not whole:
            below = [self._noisy(layer) for layer in below[0].layers]
        s = input_of(observations)
        if config.dueling:
            value, advantage = [self._dense(self.Z, "value")], [self._dense(num_actions * self.Z, "advantage")]
            if not whole:  # the last hidden layer is doubled, one for each stream
                require(bool(below), "dueling needs a hidden layer; hidden is empty, try --agent.hidden 64")
                *below, last = below
                value.insert(0, self._dense(last.units, "value_hidden", "relu"))
                advantage.insert(0, self._dense(last.units, "advantage_hidden", "relu"))
            h = self._through(below, s)
            v, a = self._through(value, h), self._through(advantage, h)
            if self.Z > 1:
                v, a = keras.ops.reshape(v, (-1, 1, self.Z)), self._by_action(a)
            q = v + a - keras.ops.mean(a, axis=1, keepdims=True)
            chains = [below, value, advantage]
        else:
            chains = [[*below, self._dense(num_actions * self.Z, "q")]]
            q = self._through(chains[0], s)
            q = self._by_action(q) if self.Z > 1 else q
        self.model = keras.Model([s, *self.noises] if self.noises else s, q, name="q")
        self.mirror = Mirror(*chains)
        """Of the layers up to Q, or, dueling, of those below both streams and of those of each."""
        self.widths = [noise.shape[-1] for noise in self.noises]
        self.noise_width = sum(self.widths)

    def __call__(self, s: tf.Tensor, noise: tf.Tensor | None = None) -> tf.Tensor:
        """Return [B, A] or [B, A, Z] in TensorFlow; without `noise` the noisy layers are their means."""
        if not self.widths:
            return self.model(s)
        noise = tf.zeros((1, self.noise_width)) if noise is None else noise
        return self.model([s, *tf.split(noise, self.widths, axis=-1)])

    def forward(self, x: np.ndarray, noise: np.ndarray | None = None) -> np.ndarray:
        """Return [N, A] or [N, A, Z] in numpy, by the mirror."""
        chains = self.mirror.chains
        widths = np.cumsum([chain.noise_width for chain in chains])
        body, *streams = chains
        own = [None] * len(chains) if noise is None else np.split(noise, widths[:-1], axis=1)
        h = body(x, own[0])
        if not streams:
            return h if self.Z == 1 else self._by_action(h)
        v, a = (stream(h, xi) for stream, xi in zip(streams, own[1:], strict=True))
        if self.Z > 1:
            v, a = v[:, None], self._by_action(a)
        return v + a - a.mean(axis=1, keepdims=True)

    def values(self, out: Any) -> Any:
        """Return Q [B, A], the expected returns, of what the network says [B, A] or [B, A, Z]: an array or a tensor."""
        if self.config.distribution == "none":
            return out
        if isinstance(out, np.ndarray):
            if self.config.distribution == "qr":
                return out.mean(axis=-1)
            p = np.exp(out - out.max(axis=-1, keepdims=True))
            return p @ self.atoms / p.sum(axis=-1)
        if self.config.distribution == "qr":
            return tf.reduce_mean(out, axis=-1)
        return tf.linalg.matvec(tf.nn.softmax(out), self.atoms)

    # --- layers ---------------------------------------------------------------------------------------------------------

    def _dense(self, units: int, name: str, activation: str = "linear") -> keras.layers.Layer:
        if self.config.noisy:
            return NoisyDense(units, name, self.seed, activation, self.config.sigma0)
        return dense(units, name, self.seed, activation)

    def _noisy(self, layer: keras.layers.Layer) -> keras.layers.Layer:
        """Return the noisy layer in the place of a dense one, any other as it is."""
        if self.config.noisy and isinstance(layer, keras.layers.Dense):
            return self._dense(layer.units, layer.name, "relu")
        return layer

    def _through(self, layers: Layers, h: Any) -> Any:
        for layer in layers:
            if isinstance(layer, NoisyDense):
                self.noises.append(keras.Input((h.shape[-1] + layer.units,), name=f"{layer.name}_noise"))
                h = layer(h, self.noises[-1])
            else:
                h = layer(h)
        return h

    def _by_action(self, out: Any) -> Any:
        """Return [B, A * Z] as [B, A, Z]."""
        reshape = np.reshape if isinstance(out, np.ndarray) else keras.ops.reshape
        return reshape(out, (-1, self.num_actions, self.Z))
