"""The network f_theta(s) = (p, v) of AlphaZero: residual convolutions with a head for the policy and one for the value."""

from __future__ import annotations

import keras

from core.layers.torsos import dense
from core.seeds import child
from envs.games import Rules

__all__ = ["policy_and_value"]


def policy_and_value(rules: Rules, channels: int, blocks: int, seed: int) -> keras.Model:
    """Return a model: stones [B, rows, columns, 2] float32, mine and theirs -> policy [B, A] logits and value [B, 1] in (-1, 1).

    3x3 convolutions with ReLU and `blocks` residual blocks of two; each head begins with a 1x1 convolution. The last layer of a
    block starts at zero, and so do both heads: at first every action is as likely as another and every position even.
    """

    def conv(filters: int, size: int, name: str, zero: bool = False) -> keras.layers.Layer:
        init = "zeros" if zero else keras.initializers.HeNormal(seed=child(seed, name))
        return keras.layers.Conv2D(filters, size, padding="same", kernel_initializer=init, name=name)

    relu = keras.ops.relu
    x = keras.Input((rules.rows, rules.columns, 2), name="stones")
    h = relu(conv(channels, 3, "first")(x))
    for i in range(blocks):
        inner = relu(conv(channels, 3, f"block{i}_in")(h))
        h = relu(h + conv(channels, 3, f"block{i}_out", zero=True)(inner))
    p = keras.layers.Flatten()(relu(conv(channels, 1, "policy_in")(h)))
    v = keras.layers.Flatten()(relu(conv(4, 1, "value_in")(h)))
    v = dense(64, "value_hidden", seed, "relu")(v)
    policy = dense(rules.num_actions, "policy", seed, gain=0.0)(p)
    value = keras.ops.tanh(dense(1, "value", seed, gain=0.0)(v))
    return keras.Model(x, {"policy": policy, "value": value}, name="policy_and_value")
