"""Parametric ReLU beside Keras's own: value and gradients, in float32 and in bfloat16."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from core.layers.prelu import ChannelPReLU


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("mixed_bfloat16", 0.05)])
def test_value_and_gradients_beside_keras(dtype: str, tolerance: float, traced: bool, training: bool) -> None:
    rng = np.random.default_rng(0)
    x, weight = (tf.constant(rng.normal(size=(2, 5, 7, 3)).astype(np.float32)) for _ in range(2))
    slopes = rng.uniform(-0.5, 1.5, 3).astype(np.float32)
    ours, theirs = ChannelPReLU(dtype=dtype), keras.layers.PReLU(shared_axes=[1, 2])
    results = []
    for layer, mode in ((ours, {"training": training}), (theirs, {})):
        layer.build(x.shape)
        layer.trainable_variables[0].assign(slopes.reshape(layer.trainable_variables[0].shape))

        def run(layer=layer, mode=mode):
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tf.reduce_sum(weight * tf.cast(layer(x, **mode), tf.float32))
            return layer(x, **mode), *tape.gradient(loss, [x, layer.trainable_variables[0]])

        results.append([np.asarray(tf.cast(r, tf.float32)) for r in (tf.function(run) if traced else run)()])
    for mine, its in zip(*results, strict=True):
        np.testing.assert_allclose(mine.reshape(its.shape), its, atol=tolerance, rtol=tolerance)
    assert ours.slope.dtype == "float32" and ours(x).dtype == ours.compute_dtype


def test_starts_at_a_quarter_and_keeps_any_shape(tmp_path) -> None:
    model = keras.Sequential([keras.Input((None, None, 4)), ChannelPReLU()])
    np.testing.assert_array_equal(model(-np.ones((1, 2, 3, 4), np.float32)), np.full((1, 2, 3, 4), -0.25))
    assert model(np.ones((2, 7, 5, 4), np.float32)).shape == (2, 7, 5, 4)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(-np.ones((1, 2, 3, 4), np.float32)), np.full((1, 2, 3, 4), -0.25))
