"""Places and the networks that map them to colours. Each pixel goes through alone: dense layers are convolutions of 1x1."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from core.seeds import child
from generative.cppn.config import CPPNConfig

__all__ = ["make_network", "patterns", "places", "walk"]


def places(height: int, width: int, zoom: float = 1.0) -> np.ndarray:
    """Return x and y of every pixel's middle, [height width, 2] float32, row by row: the longer side goes from -zoom to zoom."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    plane = np.stack([2 * x + 1 - width, 2 * y + 1 - height], axis=-1).reshape(-1, 2)
    return plane / np.float32(max(height, width) / zoom)


# --- what is fitted -------------------------------------------------------------------------------------------------------


def make_network(config: CPPNConfig, seed: int) -> keras.Model:
    """Return the network: places [P, 2] -> colours [P, 3], which are meant to lie in [0, 1].

    sine: Sitzmann et al., 2020, eq. 3, initialised as in their section 3.2, linear at the end; fourier: Tancik et al., 2020, eq.
    4; plain: Stanley's inputs (2007) x, y and r = |(x, y)|, tanh; the latter two end with a sigmoid.
    """
    layers, units = keras.layers, config.units
    place = keras.Input((2,))
    if config.network == "sine":
        h = place
        for k in range(config.layers):
            inputs = units if k else 2
            limit = math.sqrt(6 / inputs) / config.omega if k else 1 / inputs
            h = layers.Dense(
                units, kernel_initializer=_uniform(limit, seed, k), bias_initializer=_uniform(inputs**-0.5, seed, k, 1)
            )(h)
            h = Sine(config.omega)(h)
        limit = math.sqrt(6 / units) / config.omega
        return keras.Model(
            place, layers.Dense(3, kernel_initializer=_uniform(limit, seed, "colour"))(h), name="network"
        )
    if config.network == "fourier":
        h = Waves(config.frequencies, config.sigma, child(seed, "frequencies"))(place)
        kind: Any = keras.initializers.HeNormal
    else:
        h = WithRadius()(place)
        kind = keras.initializers.LecunNormal
    for k in range(config.layers):
        activation = "relu" if config.network == "fourier" else "tanh"
        h = layers.Dense(units, activation, kernel_initializer=kind(seed=child(seed, "layer", k)))(h)
    last = keras.initializers.LecunNormal(seed=child(seed, "colour"))
    return keras.Model(place, layers.Dense(3, "sigmoid", kernel_initializer=last)(h), name="network")


def _uniform(limit: float, seed: int, *names: str | int) -> keras.initializers.Initializer:
    return keras.initializers.RandomUniform(-limit, limit, seed=child(seed, "layer", *names))


class Sine(keras.layers.Layer):
    """sin(omega x)."""

    def __init__(self, omega: float):
        super().__init__()
        self.omega = omega

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return tf.sin(self.omega * x)


class Waves(keras.layers.Layer):
    """cos(2 pi B x) and sin(2 pi B x) of places x [P, 2], [P, 2F], with B [F, 2] from N(0, sigma^2), which is not learned."""

    def __init__(self, frequencies: int, sigma: float, seed: int):
        super().__init__()
        start = keras.initializers.RandomNormal(0.0, sigma, seed=seed)
        self.B = self.add_weight(shape=(frequencies, 2), initializer=start, trainable=False, name="frequencies")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        angle = math.pi * tf.matmul(x, self.B.value, transpose_b=True)  # x spans 2, the paper's unit interval 1
        return tf.concat([tf.cos(angle), tf.sin(angle)], axis=1)


class WithRadius(keras.layers.Layer):
    """x and y with their distance from the middle, [P, 3]."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return tf.concat([x, tf.norm(x, axis=1, keepdims=True)], axis=1)


# --- random networks ------------------------------------------------------------------------------------------------------


def patterns(config: CPPNConfig, height: int, width: int, seed: int, latents: Sequence[np.ndarray]) -> np.ndarray:
    """Return what one random network draws of each latent z [Z], [len(latents), height, width, 3] uint8.

    Its inputs are x, y, r and z, all weights and biases come from N(0, 1), activations are tanh, the last a sigmoid. Of the size
    it knows nothing but the places of pixels.
    """
    rng = np.random.default_rng(seed)
    plane = places(height, width, config.zoom)
    inputs = np.concatenate([plane, np.linalg.norm(plane, axis=1, keepdims=True)], axis=1)  # [P, 3]
    sizes = [3 + config.latent, *[config.pattern_units] * config.pattern_layers, 3]
    weights = [
        (rng.standard_normal((a, b), np.float32), rng.standard_normal(b, np.float32))
        for a, b in itertools.pairwise(sizes)
    ]
    drawn = []
    for z in latents:
        W, b = weights[0]
        h = inputs @ W[:3] + (z.astype(np.float32) @ W[3:] + b)
        for W, b in weights[1:]:
            h = np.tanh(h) @ W + b
        drawn.append(np.round(255 / (1 + np.exp(-h))).astype(np.uint8).reshape(height, width, 3))
    return np.stack(drawn)


def walk(latent: int, frames: int, seed: int) -> list[np.ndarray]:
    """Return latents [frames] of [Z] on a circle through normal ones: a cos t + b sin t, whose end leads to its beginning."""
    a, b = np.random.default_rng(seed).standard_normal((2, latent))
    t = 2 * np.pi * np.arange(frames) / frames
    return list(np.outer(np.cos(t), a) + np.outer(np.sin(t), b))
