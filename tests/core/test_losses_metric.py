"""Contrastive and triplet loss against numbers and gradients worked out by hand; which negative is semi-hard."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from core.losses.metric import contrastive, semi_hard, triplet


def test_contrastive_by_hand() -> None:
    a = tf.constant([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0], [2.0, 0.0]])
    b = tf.constant([[0.3, 0.4], [0.3, 0.4], [1.0, 3.0], [2.0, 0.0]])  # D = 0.5, 0.5, 2, 0
    same = tf.constant([True, False, False, False])
    # 0.5^2 / 2; (1 - 0.5)^2 / 2; beyond the margin; (1 - 0)^2 / 2
    np.testing.assert_allclose(contrastive(a, b, same), [0.125, 0.125, 0.0, 0.5], atol=1e-5)
    # margin 3: (3 - 0.5)^2 / 2, (3 - 2)^2 / 2, 3^2 / 2; pairs that belong together know none
    np.testing.assert_allclose(contrastive(a, b, same, 3.0), [0.125, 3.125, 0.5, 4.5], atol=1e-5)


def test_contrastive_gradient_is_the_papers() -> None:
    """D dD/da for pairs that belong together (eq. 5), -(m - D) dD/da for others within the margin (eq. 7), else 0."""
    a = tf.Variable([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0], [2.0, 0.0]])
    b = tf.constant([[0.3, 0.4], [0.3, 0.4], [1.0, 3.0], [2.0, 0.0]])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(contrastive(a, b, tf.constant([True, False, False, False])))
    expected = [[-0.3, -0.4], [0.5 * 0.6, 0.5 * 0.8], [0.0, 0.0], [0.0, 0.0]]  # of one point none is a direction
    np.testing.assert_allclose(tape.gradient(loss, a), expected, atol=1e-6)


def test_triplet_by_hand() -> None:
    anchor = tf.constant([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    positive = tf.constant([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    negative = tf.constant([[0.0, 2.0], [0.6, 0.8], [1.0, 0.3]])
    # 1 - 4 + 0.2 < 0; 1 - 1 + 0.2; 0 - 0.09 + 0.2: squares, not distances
    np.testing.assert_allclose(triplet(anchor, positive, negative), [0.0, 0.2, 0.11], atol=1e-6)
    np.testing.assert_allclose(triplet(anchor, positive, negative, 3.5), [0.5, 3.5, 3.41], atol=1e-6)


def test_triplet_gradients_are_2_n_minus_p_and_their_like() -> None:
    a, p = tf.Variable([[1.0, 2.0], [0.0, 0.0]]), tf.Variable([[0.0, 1.0], [1.0, 0.0]])
    n = tf.Variable([[1.0, 1.0], [9.0, 0.0]])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(triplet(a, p, n))  # 2 - 1 + 0.2, and one beyond the margin
    by_a, by_p, by_n = tape.gradient(loss, (a, p, n))
    np.testing.assert_allclose(by_a, [[2.0, 0.0], [0.0, 0.0]], atol=1e-6)  # 2 (n - p)
    np.testing.assert_allclose(by_p, [[-2.0, -2.0], [0.0, 0.0]], atol=1e-6)  # -2 (a - p)
    np.testing.assert_allclose(by_n, [[0.0, 2.0], [0.0, 0.0]], atol=1e-6)  # 2 (a - n)


def test_the_semi_hard_negative_is_the_nearest_beyond_the_positive() -> None:
    candidates = tf.constant([[0.5, 0.0], [1.5, 0.0], [3.0, 0.0], [1.2, 0.0]])
    anchor, positive = tf.zeros((4, 2)), tf.constant([[1.0, 0.0], [1.0, 0.0], [4.0, 0.0], [1.0, 0.0]])
    different = tf.constant(
        [
            [True, True, True, True],  # 0.5 is nearer than the positive: 1.2
            [True, True, True, False],  # 1.2 is no negative of this one: 1.5
            [True, True, False, True],  # all are nearer than the positive at 4: the farthest that may be, 1.5
            [False, False, False, False],  # none
        ]
    )
    assert semi_hard(anchor, positive, candidates, different).numpy().tolist() == [3, 1, 1, 0]


@pytest.mark.parametrize("shapes", [((2, 3), (2, 4), (2,)), ((2, 3), (3, 3), (2,)), ((2, 3), (2, 3), (3,))])
def test_contrastive_refuses_other_shapes(shapes: tuple) -> None:
    a, b, same = (tf.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError):
        contrastive(a, b, same > 0)


def test_triplet_and_semi_hard_refuse_other_shapes() -> None:
    with pytest.raises(ValueError):
        triplet(tf.zeros((2, 3)), tf.zeros((2, 3)), tf.zeros((3, 3)))
    with pytest.raises(ValueError):
        semi_hard(tf.zeros((2, 3)), tf.zeros((2, 3)), tf.zeros((4, 3)), tf.ones((4, 2), tf.bool))
