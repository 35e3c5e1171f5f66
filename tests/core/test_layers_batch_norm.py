"""Fused batch norm beside Keras's own: value, gradients and running statistics, training and not, in both precisions."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from core.layers.batch_norm import FusedBatchNorm


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("mixed_bfloat16", 0.06)])
def test_beside_keras(dtype: str, tolerance: float, training: bool) -> None:
    rng = np.random.default_rng(0)
    x, weight = (tf.constant(rng.normal(1, 2, (3, 4, 5, 2)).astype(np.float32)) for _ in range(2))
    values = [rng.uniform(0.5, 1.5, 2).astype(np.float32) for _ in range(4)]
    results = []
    for layer in (
        FusedBatchNorm(momentum=0.9, epsilon=1e-5, dtype=dtype),
        keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5),
    ):
        layer.build(x.shape)
        layer.set_weights(values)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training)
            loss = tf.reduce_sum(weight * tf.cast(y, tf.float32))
        gradients = tape.gradient(loss, [x, *layer.trainable_variables])
        results.append([np.asarray(tf.cast(r, tf.float32)) for r in (y, *gradients, *layer.weights)])
        assert {w.dtype for w in layer.weights} == {"float32"} and y.dtype == layer.compute_dtype
    for mine, its in zip(*results, strict=True):
        np.testing.assert_allclose(mine, its, atol=tolerance * max(1, np.abs(its).max()))
    moved = not np.array_equal(results[0][-1], values[3])
    assert moved == training


def test_saved_and_loaded(tmp_path) -> None:
    model = keras.Sequential([keras.Input((None, None, 3)), FusedBatchNorm(momentum=0.5, epsilon=1e-3)])
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
    model(x, training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(x), model(x), rtol=1e-6)
