"""Encoder and decoder: a perceptron on each side, or two strided convolutions, mirrored; labels enter where z does."""

from __future__ import annotations

import itertools
from typing import Any

import keras

from core.layers.upsampling import CroppedConv2DTranspose
from core.seeds import child
from generative.vae.config import VAEConfig

__all__ = ["make_networks"]


def make_networks(
    shape: tuple[int, ...], config: VAEConfig, classes: int, seed: int
) -> tuple[keras.Model, keras.Model]:
    """Return the encoder, x [B, H, W, C] -> (mu, log sigma^2) [B, L], and the decoder, z [B, L] -> outputs [B, H, W, C].

    Of a conditional model both take labels c [B, classes] as ones and zeros beside: [x, c] and [z, c].
    """
    height, width, channels = shape
    layers = keras.layers
    numbers = itertools.count()

    def start() -> keras.initializers.Initializer:
        return keras.initializers.GlorotUniform(seed=child(seed, "layer", next(numbers)))

    def dense(units: int, activation: str | None = "relu", **kwargs: Any) -> keras.layers.Layer:
        return layers.Dense(units, activation, kernel_initializer=start(), **kwargs)

    x, z, c = keras.Input(shape), keras.Input((config.latent,)), keras.Input((classes,))
    half, quarter = (-(-height // 2), -(-width // 2)), (-(-height // 4), -(-width // 4))
    few, many = config.hidden // 8, config.hidden // 4
    h = x
    if config.network == "conv":
        for filters in (few, many):
            h = layers.Conv2D(filters, 4, 2, "same", activation="relu", kernel_initializer=start())(h)
    h = layers.Flatten()(h)
    h = dense(config.hidden)(layers.Concatenate()([h, c]) if config.conditional else h)
    mean, log_variance = (dense(config.latent, None, dtype="float32")(h) for _ in range(2))

    y = dense(config.hidden)(layers.Concatenate()([z, c]) if config.conditional else z)
    if config.network == "conv":
        y = layers.Reshape((*quarter, many))(dense(quarter[0] * quarter[1] * many)(y))
        y = CroppedConv2DTranspose(few, 4, half, activation="relu", kernel_initializer=start())(y)
        y = CroppedConv2DTranspose(channels, 4, (height, width), kernel_initializer=start(), dtype="float32")(y)
    else:
        y = layers.Reshape(shape)(dense(height * width * channels, None, dtype="float32")(y))
    given = [[x, c], [z, c]] if config.conditional else [x, z]
    return keras.Model(given[0], [mean, log_variance], name="encoder"), keras.Model(given[1], y, name="decoder")
