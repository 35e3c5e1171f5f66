"""Layers that make pictures larger, each against its definition in numpy, and minibatch standard deviation."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from core.layers.minibatch import MinibatchStd
from core.layers.upsampling import BicubicUpsampling, CroppedConv2DTranspose, ResizeConv2D, SubpixelConv2D


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_subpixel_channels_become_pixels() -> None:
    layer, x = SubpixelConv2D(2, 1, scale=3, use_bias=False), random(2, 4, 5, 6)
    y = np.asarray(layer(x))
    assert y.shape == (2, 12, 15, 2) == tuple(layer.compute_output_shape(x.shape))
    flat = x @ np.asarray(layer.kernel)[0, 0]  # [2, 4, 5, 18]
    for i in range(3):
        for j in range(3):
            channels = flat[..., (i * 3 + j) * 2 : (i * 3 + j) * 2 + 2]
            np.testing.assert_allclose(y[:, i::3, j::3], channels, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(8, 10), (7, 9), (5, 5)])
def test_resize_convolution_repeats_nearest(size: tuple[int, int]) -> None:
    layer, x = ResizeConv2D(3, 1, size, use_bias=False), random(2, 4, 5, 6)
    y = layer(x)
    assert tuple(y.shape) == (2, *size, 3) == tuple(layer.compute_output_shape(x.shape))
    rows, columns = np.arange(size[0]) * 4 // size[0], np.arange(size[1]) * 5 // size[1]
    expected = x[:, rows][:, :, columns] @ np.asarray(layer.kernel)[0, 0]
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [28, 14, 16])
def test_cropped_transposed_convolution_mirrors_the_strided_one(size: int) -> None:
    """<conv(y), x> = <y, transposed(x)> with the same kernel: they are adjoint (even sizes)."""
    half = size // 2
    down = keras.layers.Conv2D(3, 5, strides=2, padding="same", use_bias=False)
    up = CroppedConv2DTranspose(2, 5, (size, size), use_bias=False)
    y, x = random(1, size, size, 2), random(1, half, half, 3)
    down(y), up(x)
    up.kernel.assign(down.kernel)
    np.testing.assert_allclose(np.sum(down(y) * x), np.sum(y * up(x)), rtol=1e-3)


@pytest.mark.parametrize("size", [28, 27, 17, 64])
def test_any_size_is_reached_through_its_halves(size: int) -> None:
    sizes = [-(-size // 2**k) for k in range(5)]
    x = random(1, sizes[4], sizes[4], 2)
    for target in reversed(sizes[:4]):
        layer = CroppedConv2DTranspose(2, 5, (target, target))
        x = layer(x)
        assert tuple(x.shape[1:3]) == (target, target)


@pytest.mark.parametrize(
    "layer",
    [SubpixelConv2D(2, 3, scale=2), ResizeConv2D(3, 3, (7, 9)), CroppedConv2DTranspose(2, 5, (7, 9)), MinibatchStd(2)],
    ids=lambda layer: type(layer).__name__,
)
def test_saved_and_loaded(layer: keras.layers.Layer, tmp_path) -> None:
    model = keras.Sequential([keras.Input((4, 5, 3)), layer])
    model.save(tmp_path / "model.keras")
    x = random(2, 4, 5, 3)
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(x), model(x), rtol=1e-6)


def test_minibatch_std_of_the_whole_batch() -> None:
    x = random(6, 3, 3, 2)
    y = np.asarray(MinibatchStd()(x))
    np.testing.assert_array_equal(y[..., :2], x)
    np.testing.assert_allclose(y[..., 2], np.sqrt(x.var(axis=0) + 1e-8).mean(), rtol=1e-5)


def test_minibatch_std_in_groups() -> None:
    x = random(6, 5)
    y = np.asarray(MinibatchStd(group=2)(x))
    for first in range(3):  # examples i and i + 3 share a group
        pair = x[[first, first + 3]]
        np.testing.assert_allclose(y[[first, first + 3], 5], np.sqrt(pair.var(axis=0) + 1e-8).mean(), rtol=1e-4)


def test_minibatch_std_is_finite_for_a_collapsed_batch() -> None:
    x = tf.ones((4, 3))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = MinibatchStd()(x)
    assert np.isfinite(tape.gradient(y, x)).all()


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_bicubic_upsampling_is_pillows(scale: int) -> None:
    x = np.random.default_rng(0).uniform(0, 255, (2, 7, 9, 2)).astype(np.float32)
    layer = BicubicUpsampling(scale)
    y = np.asarray(layer(x))
    assert y.shape == (2, 7 * scale, 9 * scale, 2) == tuple(layer.compute_output_shape(x.shape))
    for i in range(2):
        for c in range(2):
            large = Image.fromarray(x[i, ..., c]).resize((9 * scale, 7 * scale), Image.Resampling.BICUBIC)
            np.testing.assert_allclose(y[i, ..., c], np.asarray(large), atol=2e-3)
    assert BicubicUpsampling.from_config(layer.get_config()).scale == scale
