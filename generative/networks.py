"""The networks of an adversarial model, as its data needs them: DCGAN's for pictures, perceptrons for points in the plane."""

from __future__ import annotations

from typing import Literal, Protocol

import keras

from core.errors import require
from core.layers import dcgan
from core.layers.dcgan import LEAST_SIZE, Spectral
from generative.data.sources import Data, Mixture

__all__ = ["make_discriminator", "make_generator"]


class Settings(Protocol):
    """The fields that the configurations of all adversarial models have."""

    @property
    def latent(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def upsampling(self) -> Literal["transposed", "resize"]: ...
    @property
    def hidden(self) -> int: ...
    @property
    def layers(self) -> int: ...


def make_generator(data: Data, config: Settings, seed: int) -> keras.Model:
    """Return G: z [B, latent] -> pictures [B, H, W, C] in [-1, 1] or points [B, 2].

    Raises UsageError for pictures of fewer than 16 pixels a side.
    """
    if isinstance(data, Mixture):
        return dcgan.mlp_generator(config.latent, 2, config.hidden, config.layers, seed, data.scale)
    side = min(data.shape[:2])
    require(
        side >= LEAST_SIZE,
        f"{data.name} has {side} pixels a side; the networks need {LEAST_SIZE}, set data.size to {LEAST_SIZE} or more",
    )
    return dcgan.generator(data.shape, config.latent, config.width, seed, upsampling=config.upsampling)


def make_discriminator(
    data: Data,
    config: Settings,
    seed: int,
    *,
    batch_norm: bool,
    spectral: Spectral = "none",
    minibatch_std: bool = False,
) -> keras.Model:
    """Return D or the critic: pictures or points -> raw outputs [B]. Perceptrons have neither batch norm nor minibatch_std."""
    if isinstance(data, Mixture):
        return dcgan.mlp_discriminator(2, config.hidden, config.layers, seed, scale=data.scale, spectral=spectral)
    return dcgan.discriminator(
        data.shape, config.width, seed + 1, batch_norm=batch_norm, spectral=spectral, minibatch_std=minibatch_std
    )
