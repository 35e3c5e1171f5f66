"""The layers of an autoencoder, each an encoder with the decoder that leads back, and the classifier on top of a stack."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import keras

from core.layers.upsampling import CroppedConv2DTranspose
from core.seeds import child
from generative.autoencoder.config import AutoencoderConfig

__all__ = ["Layer", "make_classifier", "make_layers"]

Layer = tuple[keras.Model, keras.Model]
"""Encoder [B, ...] in [0, 1] -> a [B, H], and decoder [B, H] -> logits [B, ...] of what the encoder was given; float32 all."""


def make_layers(shape: tuple[int, ...], config: AutoencoderConfig, seed: int) -> list[Layer]:
    """Return the layers from the picture [H, W, C] up: one, or `config.layers` of stacked."""
    if config.kind == "convolutional":
        return [_convolutional(shape, config, _starts(seed, "layer", 0))]
    hidden = config.own("hidden")
    shapes = [shape] + [(hidden,)] * (config.layers - 1 if config.kind == "stacked" else 0)
    return [
        _dense(below, hidden, config.own("activation"), _starts(seed, "layer", i), i) for i, below in enumerate(shapes)
    ]


def make_classifier(config: AutoencoderConfig, classes: int, seed: int) -> keras.Model:
    """Return the linear classifier code [B, H] -> logits [B, classes] float32."""
    a = keras.Input((config.own("hidden"),))
    y = keras.layers.Dense(classes, kernel_initializer=_starts(seed, "classifier")(), dtype="float32")(a)
    return keras.Model(a, y, name="classifier")


def _dense(shape: tuple[int, ...], hidden: int, activation: str, start: Callable[[], Any], number: int) -> Layer:
    """a = s(W x + b), logits = W' a + b' (Vincent et al., 2010, eqs. 1 and 2, whose decoder's sigmoid comes with the loss)."""
    layers = keras.layers
    x, a = keras.Input(shape), keras.Input((hidden,))
    h = layers.Flatten()(x) if len(shape) > 1 else x
    code = layers.Dense(hidden, activation, kernel_initializer=start(), dtype="float32")(h)
    y = layers.Dense(h.shape[-1], kernel_initializer=start(), dtype="float32")(a)
    y = layers.Reshape(shape)(y) if len(shape) > 1 else y
    return keras.Model(x, code, name=f"encoder_{number}"), keras.Model(a, y, name=f"decoder_{number}")


def _convolutional(shape: tuple[int, ...], config: AutoencoderConfig, start: Callable[[], Any]) -> Layer:
    """Two strided convolutions and a linear code; the decoder mirrors them."""
    layers, activation = keras.layers, config.own("activation")
    height, width, channels = shape
    few, many = config.width, 2 * config.width
    half, quarter = (-(-height // 2), -(-width // 2)), (-(-height // 4), -(-width // 4))
    x, a = keras.Input(shape), keras.Input((config.own("hidden"),))
    h = x
    for filters in (few, many):
        h = layers.Conv2D(filters, 4, 2, "same", activation=activation, kernel_initializer=start())(h)
    code = layers.Dense(config.own("hidden"), kernel_initializer=start(), dtype="float32")(layers.Flatten()(h))
    y = layers.Dense(quarter[0] * quarter[1] * many, activation, kernel_initializer=start())(a)
    y = layers.Reshape((*quarter, many))(y)
    y = CroppedConv2DTranspose(few, 4, half, activation=activation, kernel_initializer=start())(y)
    y = CroppedConv2DTranspose(channels, 4, (height, width), kernel_initializer=start(), dtype="float32")(y)
    return keras.Model(x, code, name="encoder"), keras.Model(a, y, name="decoder")


def _starts(seed: int, *names: str | int) -> Callable[[], Any]:
    """Return a function that gives each weight of a layer its initialiser: uniform, as Glorot and Bengio (2010)."""
    numbers = itertools.count()
    return lambda: keras.initializers.GlorotUniform(seed=child(seed, *names, next(numbers)))
