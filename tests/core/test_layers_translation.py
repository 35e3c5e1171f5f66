"""Noise by dropout, convolutions over mirrored borders, instance norm, patches of a discriminator."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from core.errors import UsageError
from core.layers.translation import InstanceNorm, KeyedDropout, ReflectConv2D
from generative.adversarial.translation import make_patch_discriminator

KEY = tf.constant([3, 4], tf.int64)


def test_dropout_keeps_the_mean_and_follows_its_key() -> None:
    layer, x = KeyedDropout(0.25, 0), tf.ones((8, 10, 10, 16))
    y = np.asarray(layer([x, KEY], training=True))
    assert np.unique(y).tolist() == pytest.approx([0, 4 / 3]) and abs(y.mean() - 1) < 0.03
    np.testing.assert_array_equal(y, layer([x, KEY], training=True))
    assert (y != np.asarray(layer([x, KEY + 1], training=True))).any()
    assert (y != np.asarray(KeyedDropout(0.25, 1)([x, KEY], training=True))).any()
    assert (y[0] != y[1]).any()
    still = np.asarray(layer([x, KEY], training=False))
    assert (still == 0).any() and (still == still[:1]).all()  # stays, one mask for all
    with pytest.raises(UsageError, match="dropout is 1"):
        KeyedDropout(1.0, 0)


def test_a_convolution_sees_mirrored_borders() -> None:
    layer = ReflectConv2D(1, 3, use_bias=False)
    x = np.arange(1.0, 10).reshape(1, 3, 3, 1).astype(np.float32)
    layer.build(x.shape)
    layer.kernel.assign(np.ones((3, 3, 1, 1)))
    padded = np.pad(x[0, ..., 0], 1, mode="reflect")
    expected = [[padded[i : i + 3, j : j + 3].sum() for j in range(3)] for i in range(3)]
    np.testing.assert_allclose(layer(x)[0, ..., 0], expected)


def test_instance_norm_is_of_one_channel_of_one_picture() -> None:
    x = np.random.default_rng(0).normal(3, 2, (2, 5, 4, 3)).astype(np.float32)
    y = np.asarray(InstanceNorm()(x))
    expected = (x - x.mean(axis=(1, 2), keepdims=True)) / np.sqrt(x.var(axis=(1, 2), keepdims=True) + 1e-5)
    np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize(("layers", "patch"), [(0, 7), (1, 16), (2, 34), (3, 70)])
def test_an_output_of_d_sees_a_patch(layers: int, patch: int) -> None:
    """The picture outside of the patch does not change it; without norm, whose statistics are of the whole picture."""
    D = make_patch_discriminator((96, 96, 1), 1, layers, "batch", seed=0)
    x = tf.Variable(np.random.default_rng(0).normal(size=(1, 96, 96, 1)).astype(np.float32))
    with tf.GradientTape() as tape:
        outputs = D(x, training=False)
        middle = outputs.shape[1] // 2
        one = outputs[0, middle, middle]
    seen = np.flatnonzero(np.abs(np.asarray(tape.gradient(one, x))[0, ..., 0]).sum(axis=1))
    assert seen[-1] - seen[0] + 1 == patch
