"""CVAE-GAN's losses against numbers worked out by hand, for value and gradient."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from core.losses.feature_matching import class_centres, mean_matching, pairwise

A, B = np.array([[1.0, 2.0], [0.0, -4.0]], np.float32), np.array([[3.0, 2.0], [1.0, 0.0]], np.float32)


def value_and_gradient(loss, a: np.ndarray, b: np.ndarray) -> tuple[float, np.ndarray]:
    b = tf.constant(b)
    with tf.GradientTape() as tape:
        tape.watch(b)
        value = loss(tf.constant(a), b)
    return float(value), np.asarray(tape.gradient(value, b))


def test_means_are_matched() -> None:
    """Means (0.5, -1) and (2, 1): (2.25 + 4) / 2, and each row gets half of the difference."""
    value, gradient = value_and_gradient(mean_matching, A, B)
    assert value == pytest.approx(3.125)
    np.testing.assert_allclose(gradient, [[0.75, 1.0]] * 2)
    assert float(mean_matching(A, A[::-1])) == 0


def test_pairs_are_matched() -> None:
    """|x - y|^2 is 4 and 1 + 16."""
    value, gradient = value_and_gradient(pairwise, A.reshape(2, 1, 2, 1), B.reshape(2, 1, 2, 1))
    assert value == pytest.approx((4 + 17) / 4)
    np.testing.assert_allclose(gradient.reshape(2, 2), (B - A) / 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="one shape"):
        pairwise(A, B[:1])


def test_centres_move_towards_the_means_of_their_class() -> None:
    centres, features = (
        np.array([[8.0, 0.0], [1.0, 1.0], [4.0, 4.0]], np.float32),
        np.array([[0, 2], [4, 6], [5, 5]], np.float32),
    )
    after = class_centres(tf.constant(centres), tf.constant(features), tf.constant([0, 0, 2]), 0.75)
    # class 0: 3/4 (8, 0) + 1/4 (2, 4); class 1 is not there; class 2: 3/4 (4, 4) + 1/4 (5, 5)
    np.testing.assert_allclose(after, [[6.5, 1.0], [1.0, 1.0], [4.25, 4.25]])
