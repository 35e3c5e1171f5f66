"""The average of a network: its decay, and that running statistics lag behind together with the weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from core.layers.ema import follow


def network(value: float) -> keras.Model:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.BatchNormalization()])
    for variable in model.variables:
        variable.assign(tf.fill(variable.shape, value))
    return model


@pytest.mark.parametrize(("t", "d"), [(0, 0.1), (8, 0.5), (10**6, 0.9)])
def test_weights_and_statistics_move_alike(t: int, d: float) -> None:
    average, model = network(1.0), network(2.0)
    follow(average, model, 0.9, tf.constant(t, tf.int64))
    assert len(average.variables) == 6
    for mean, variable in zip(average.variables, model.variables, strict=True):
        np.testing.assert_allclose(mean, np.full(mean.shape, d * 1.0 + (1 - d) * 2.0), rtol=1e-5)
        np.testing.assert_array_equal(variable, np.full(variable.shape, 2.0))
