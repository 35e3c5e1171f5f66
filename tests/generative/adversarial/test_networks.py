"""The networks of adversarial models: any size and shape, levels, filters."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from generative.adversarial.networks import levels, make_discriminator, make_generator
from generative.data.settings import DataConfig
from generative.data.sources import Pictures, open_data
from generative.dcgan.config import DCGANConfig
from generative.ragan.config import RaGANConfig


@pytest.mark.parametrize("network", ["dcgan", "sn", "resnet"])
@pytest.mark.parametrize("shape", [(16, 16, 1), (28, 28, 3), (27, 40, 3), (64, 20, 1)])
def test_networks_of_any_shape(network: Any, shape: tuple[int, int, int]) -> None:
    data = Pictures("mine", "test pictures", np.zeros((4, *shape), np.uint8))
    config = RaGANConfig(network=network, latent=3, width=2)
    G = make_generator(data, config, seed=1)
    D = make_discriminator(data, config, seed=1, batch_norm=False, spectral="divide")
    assert G.output_shape == (None, *shape) and D.input_shape == (None, *shape) and D.output_shape == (None,)
    pictures = np.asarray(G(np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32), training=True))
    assert pictures.shape == (2, *shape) and np.abs(pictures).max() <= 1 and pictures.std() > 0
    assert np.ptp(np.asarray(D(pictures))) > 0


def test_levels_halve_until_the_smaller_side_has_at_most_four_pixels() -> None:
    assert levels((16, 16)) == [(16, 16), (8, 8), (4, 4)]
    assert levels((64, 64)) == [(64, 64), (32, 32), (16, 16), (8, 8), (4, 4)]
    assert levels((27, 64)) == [(27, 64), (14, 32), (7, 16), (4, 8)]


@pytest.mark.parametrize(("network", "filters"), [("dcgan", [4, 8, 16]), ("sn", [4, 4, 8, 8, 16, 16, 32])])
def test_filters_double_with_every_level(network: Any, filters: list[int]) -> None:
    data = Pictures("mine", "test pictures", np.zeros((4, 28, 28, 1), np.uint8))
    D = make_discriminator(data, RaGANConfig(network=network, width=4), seed=1, batch_norm=False)
    assert [layer.filters for layer in D.layers if isinstance(layer, keras.layers.Conv2D)] == filters


def test_points_differ_even_where_all_units_of_the_generator_are_off() -> None:
    G = make_generator(open_data(DataConfig("ring")), DCGANConfig(latent=2, hidden=8, layers=3), seed=1)
    for layer in G.layers[1:-2]:
        if layer.weights:
            layer.bias.assign(np.full(8, -100))
    points = np.asarray(G(np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)))
    assert len(np.unique(points, axis=0)) == 50
