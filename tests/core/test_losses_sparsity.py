"""Sparsity penalties against numbers computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from core.losses.sparsity import kl_sparsity, l1_sparsity


def test_the_divergence_by_hand() -> None:
    """Means 0.25, 0.5 and 0.2; KL(0.2 || 0.25) = 0.2 ln 0.8 + 0.8 ln(0.8 / 0.75), KL(0.2 || 0.5) = 0.2 ln 0.4 + 0.8 ln 1.6."""
    a = tf.constant([[0.1, 0.9, 0.2], [0.4, 0.1, 0.2]])
    expected = [0.2 * -0.22314355 + 0.8 * 0.06453852, 0.2 * -0.91629073 + 0.8 * 0.47000363, 0.0]
    np.testing.assert_allclose(kl_sparsity(a, 0.2), expected, atol=2e-6)


def test_its_gradient_by_hand() -> None:
    """d/da_ij = (-rho / rho_j + (1 - rho) / (1 - rho_j)) / B; at rho_j = 0.25 and rho = 0.2: (-0.8 + 0.8 / 0.75) / 2."""
    a = tf.Variable([[0.1], [0.4]])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(kl_sparsity(a, 0.2))
    np.testing.assert_allclose(tape.gradient(loss, a), [[0.1333333], [0.1333333]], rtol=1e-4)


@pytest.mark.parametrize("stuck", [0.0, 1.0])
def test_a_unit_that_is_stuck_has_a_way_back(stuck: float) -> None:
    a = tf.Variable([[stuck], [stuck]])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(kl_sparsity(a, 0.15))
    gradient = np.asarray(tape.gradient(loss, a))
    assert np.isfinite(loss) and np.isfinite(gradient).all()
    assert (gradient < 0).all() if stuck == 0 else (gradient > 0).all()


def test_the_absolute_mean_by_hand() -> None:
    np.testing.assert_allclose(l1_sparsity(tf.constant([[1.0, -2.0], [3.0, 0.0]])), [2.0, 1.0])


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="rank"):
        kl_sparsity(tf.zeros((2, 3, 4)), 0.1)
