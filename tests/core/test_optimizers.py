"""The fused optimisers: the numbers of Keras's own, its state, with and without XLA."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from core.optimizers import Adam, RMSprop

PAIRS = {
    "adam": (Adam, keras.optimizers.Adam, {"beta_1": 0.5, "beta_2": 0.99}),
    "rmsprop": (RMSprop, keras.optimizers.RMSprop, {"rho": 0.95, "epsilon": 0.01}),
    "centred rmsprop": (RMSprop, keras.optimizers.RMSprop, {"rho": 0.95, "epsilon": 1e-5, "centered": True}),
}


def traced(optimizer: keras.optimizers.Optimizer, w: keras.Variable, jit: bool) -> Any:
    return tf.function(lambda gradient: optimizer.apply([gradient], [w]), jit_compile=jit)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("schedule", [False, True])
@pytest.mark.parametrize("name", PAIRS)
def test_numbers_and_state_are_those_of_keras(name: str, jit: bool, schedule: bool) -> None:
    ours, keras_own, settings = PAIRS[name]
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(3, 4)), rng.normal(size=(5, 3, 4)) * 10.0 ** rng.integers(-4, 3, size=(5, 3, 4))
    found = {}
    for Optimizer in (ours, keras_own):
        lr = keras.optimizers.schedules.CosineDecay(0.1, 6) if schedule else 0.1
        optimizer, w = Optimizer(lr, **settings), keras.Variable(start, dtype="float32")
        optimizer.build([w])

        update = traced(optimizer, w, jit)
        for gradient in gradients:
            update(tf.constant(gradient, tf.float32))
        found[Optimizer] = [np.array(w)] + [np.array(v) for v in optimizer.variables]
    assert len(found[ours]) == len(found[keras_own]) >= 3
    for mine, its in zip(*found.values(), strict=True):
        np.testing.assert_allclose(mine, its, rtol=2e-5, atol=1e-7)


def test_adam_by_hand() -> None:
    optimizer, w = Adam(0.1, 0.9, 0.99, epsilon=1e-8), keras.Variable([1.0])
    optimizer.apply([tf.constant([2.0])], [w])
    np.testing.assert_allclose(w, [0.9], atol=1e-6)  # the first step is lr times the sign of the gradient
    optimizer.apply([tf.constant([0.0])], [w])
    m, v = 0.9 * 0.1 * 2 / (1 - 0.9**2), 0.99 * 0.01 * 4 / (1 - 0.99**2)
    np.testing.assert_allclose(w, [0.9 - 0.1 * m / np.sqrt(v)], atol=1e-6)


def test_sparse_gradients_work_as_ever() -> None:
    optimizer, table = Adam(0.1), keras.Variable(np.ones((4, 2)))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.gather(table.value, [2]))
    optimizer.apply([tape.gradient(loss, table.value)], [table])
    np.testing.assert_allclose(table, [[1, 1], [1, 1], [0.9, 0.9], [1, 1]], atol=1e-6)
