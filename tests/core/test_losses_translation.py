"""Losses of models that translate pictures, against numbers computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from core.losses.translation import cycle_consistency, l1

X = tf.reshape(tf.constant([0.0, 1.0, -1.0, 0.5]), (1, 2, 2, 1))
Y = tf.reshape(tf.constant([0.5, 1.0, 1.0, 0.0]), (1, 2, 2, 1))


def test_l1_is_the_mean_over_all_entries() -> None:
    assert float(l1(X, Y)) == pytest.approx((0.5 + 0 + 2 + 0.5) / 4)
    with tf.GradientTape() as tape:
        tape.watch(X)
        loss = l1(X, Y)
    np.testing.assert_allclose(np.ravel(tape.gradient(loss, X)), [-0.25, 0, -0.25, 0.25])


def test_both_cycles_count_alike() -> None:
    assert float(cycle_consistency(X, Y, Y, Y + 1)) == pytest.approx(0.75 + 1)
    assert float(cycle_consistency(X, X, Y, Y)) == 0


def test_pictures_of_two_shapes_are_refused() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="both must have one shape"):
        l1(X, tf.zeros((1, 2, 1, 1)))
