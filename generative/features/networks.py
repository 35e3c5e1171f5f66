"""The body, pictures to features, the classifier that stands on it, and the decoder that leads back."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import keras

from core.layers.upsampling import CroppedConv2DTranspose
from core.seeds import child
from generative.features.config import FeaturesConfig

__all__ = ["levels", "make_body", "make_classifier", "make_decoder"]

DEEPEST = 4  # pixels of the smaller side at which the halving ends
WIDEST = 8  # times the filters of the first level
SMALL = 0.02  # scale of the decoder's last layer: at 2 its first pictures are so far off that 1,000 updates go into it


def make_body(shape: tuple[int, ...], config: FeaturesConfig, seed: int, *, unit: bool) -> keras.Model:
    """Return the network pictures [B, H, W, C] in [0, 1] -> features [B, F] float32, of Keras's own layers alone.

    With `unit` the features lie on the unit sphere.
    """
    layers, make = keras.layers, _starts(seed, "body")
    x = keras.Input(shape)
    h = layers.Rescaling(2.0, offset=-1.0)(x)
    if config.network == "cnn":
        for level in range(len(levels(shape)) - 1):
            h = layers.Conv2D(_filters(config, level), 3, padding="same", activation="relu", kernel_initializer=make())(
                h
            )
            h = layers.MaxPooling2D(2, padding="same")(h)
    h = layers.Flatten()(h)
    for _ in range(config.layers if config.network == "mlp" else 1):
        h = layers.Dense(config.hidden, "relu", kernel_initializer=make())(h)
    h = layers.Dense(config.features, kernel_initializer=make(), dtype="float32", name="features")(h)
    if unit:
        h = layers.UnitNormalization(dtype="float32")(h)
    return keras.Model(x, h, name="body")


def make_classifier(config: FeaturesConfig, classes: int, seed: int) -> keras.Model:
    """Return the linear classifier features [B, F] -> logits [B, classes] float32."""
    f = keras.Input((config.features,))
    y = keras.layers.Dense(classes, kernel_initializer=_starts(seed, "classifier")(), dtype="float32")(f)
    return keras.Model(f, y, name="classifier")


def make_decoder(shape: tuple[int, ...], config: FeaturesConfig, seed: int) -> keras.Model:
    """Return the body's mirror image, features [B, F] -> pictures [B, H, W, C] float32."""
    layers, make = keras.layers, _starts(seed, "decoder")
    f = h = keras.Input((config.features,))
    for _ in range(config.layers if config.network == "mlp" else 1):
        h = layers.Dense(config.hidden, "relu", kernel_initializer=make())(h)
    if config.network == "mlp":
        numbers = shape[0] * shape[1] * shape[2]
        y = layers.Reshape(shape)(layers.Dense(numbers, kernel_initializer=make(SMALL), dtype="float32")(h))
        return keras.Model(f, y, name="decoder")
    *larger, deepest = levels(shape)
    filters = _filters(config, len(larger) - 1)
    h = layers.Dense(deepest[0] * deepest[1] * filters, "relu", kernel_initializer=make())(h)
    h = layers.Reshape((*deepest, filters))(h)
    for level, size in reversed(list(enumerate(larger))):
        last = level == 0
        h = CroppedConv2DTranspose(
            shape[2] if last else _filters(config, level - 1),
            4,
            size,
            activation=None if last else "relu",
            kernel_initializer=make(SMALL if last else 2.0),
            dtype="float32" if last else None,
        )(h)
    return keras.Model(f, h, name="decoder")


def levels(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return the sides (h, w) of the feature maps from the picture [H, W, C] down; at least one halving.

    >>> levels((28, 28, 1))
    [(28, 28), (14, 14), (7, 7), (4, 4)]
    >>> levels((48, 160, 3))
    [(48, 160), (24, 80), (12, 40), (6, 20), (3, 10)]
    """
    sides = [(shape[0], shape[1])]
    while min(sides[-1]) > DEEPEST or len(sides) == 1:
        sides.append((-(-sides[-1][0] // 2), -(-sides[-1][1] // 2)))
    return sides


def _filters(config: FeaturesConfig, level: int) -> int:
    return config.width * min(2**level, WIDEST)


def _starts(seed: int, name: str) -> Callable[..., Any]:
    """Return a function (variance times inputs, 2 as in He et al., 2015) that gives each layer of a network its initialiser."""
    numbers = itertools.count()

    def make(scale: float = 2.0) -> keras.initializers.Initializer:
        return keras.initializers.VarianceScaling(scale, "fan_in", seed=child(seed, name, next(numbers)))

    return make
