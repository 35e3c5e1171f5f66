"""GANomaly's losses against numbers worked out by hand, for value and gradient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from core.losses.anomaly import contextual, feature_matching, latent_distance

A, B = np.array([[1.0, 2.0], [0.0, -4.0]], np.float32), np.array([[3.0, 2.0], [1.0, 0.0]], np.float32)


@pytest.mark.parametrize(
    ("loss", "shape", "value", "gradient"),
    [
        (feature_matching, (2, 2), (4 + 0 + 1 + 16) / 4, [[1.0, 0.0], [0.5, 2.0]]),  # 2 (b - a) / 4
        (latent_distance, (2, 2), (4 + 0 + 1 + 16) / 4, [[1.0, 0.0], [0.5, 2.0]]),
        (contextual, (2, 1, 2, 1), (2 + 0 + 1 + 4) / 4, [[0.25, 0.0], [0.25, 0.25]]),  # sign(b - a) / 4
    ],
)
def test_value_and_gradient(
    loss: Callable[..., tf.Tensor], shape: tuple[int, ...], value: float, gradient: list[list[float]]
) -> None:
    a, b = (tf.constant(x.reshape(shape)) for x in (A, B))
    with tf.GradientTape() as tape:
        tape.watch(b)
        found = loss(a, b)
    assert float(found) == pytest.approx(value)
    np.testing.assert_allclose(np.reshape(tape.gradient(found, b), (2, 2)), gradient, atol=1e-7)


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError):
        feature_matching(tf.zeros((2, 3)), tf.zeros((2, 4)))
    with pytest.raises(tf.errors.InvalidArgumentError):
        contextual(tf.zeros((2, 3, 3, 1)), tf.zeros((2, 3, 3, 3)))
