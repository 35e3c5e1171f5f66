import numpy as np
import pytest
import tensorflow as tf

from core.losses.reinforcement import (
    clipped_surrogate,
    huber,
    policy_gradient,
    q_learning_error,
    squared_error,
)


def test_policy_gradient_value_and_gradient_by_hand() -> None:
    log_pi, advantage = tf.Variable([-1.5, -0.5]), tf.constant([2.0, -1.0])
    with tf.GradientTape() as tape:
        loss = policy_gradient(log_pi, advantage)
    np.testing.assert_allclose(loss, [3.0, -0.5])
    np.testing.assert_allclose(tape.gradient(loss, log_pi), [-2.0, 1.0])


def test_the_advantage_is_a_constant() -> None:
    log_pi, advantage = tf.Variable([-1.0]), tf.Variable([1.0])
    for loss_of in (policy_gradient, lambda p, A: clipped_surrogate(p, tf.constant([-1.1]), A, 0.2)):
        with tf.GradientTape() as tape:
            loss = loss_of(log_pi, advantage)
        of_policy, of_advantage = tape.gradient(loss, [log_pi, advantage])
        assert of_policy is not None and of_advantage is None


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),
    [
        (1.0, 2.0, -2.0, -2.0),  # at the old policy it is the plain policy gradient
        (1.5, 2.0, -2.4, 0.0),  # far enough in the good direction: clipped, no gradient
        (1.5, -2.0, 3.0, 3.0),  # too far in the bad direction: not clipped, pulled back
        (0.5, -2.0, 1.6, 0.0),
        (0.5, 2.0, -1.0, -1.0),
    ],
)
def test_clipped_surrogate_by_hand(ratio: float, advantage: float, loss: float, slope: float) -> None:
    """d/d log pi of -ratio A is -ratio A."""
    log_pi = tf.Variable([np.log(ratio).astype(np.float32) - 1])
    with tf.GradientTape() as tape:
        value = clipped_surrogate(log_pi, tf.constant([-1.0]), tf.constant([advantage]), 0.2)
    np.testing.assert_allclose(value, [loss], rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(value, log_pi), [slope], rtol=1e-5)


def test_squared_error_moves_the_prediction_only() -> None:
    v, target = tf.Variable([1.0, 2.0]), tf.Variable([3.0, 2.0])
    with tf.GradientTape() as tape:
        loss = squared_error(v, target)
    np.testing.assert_allclose(loss, [2.0, 0.0])
    gradient = tape.gradient(loss, [v, target])
    np.testing.assert_allclose(gradient[0], [-2.0, 0.0])
    assert gradient[1] is None


def test_huber_is_the_clipped_error() -> None:
    error = tf.Variable([-3.0, -0.5, 0.0, 0.5, 3.0])
    with tf.GradientTape() as tape:
        loss = huber(error)
    np.testing.assert_allclose(loss, [2.5, 0.125, 0, 0.125, 2.5])
    np.testing.assert_allclose(tape.gradient(loss, error), [-1, -0.5, 0, 0.5, 1])


def test_q_learning_error_by_hand() -> None:
    q_tm1 = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
    fixed, selector = tf.Variable([[5.0, 6.0], [8.0, 7.0]]), tf.constant([[1.0, 0.0], [0.0, 1.0]])
    rest = (tf.constant([1, 0]), tf.constant([1.0, -1.0]), tf.constant([0.5, 0.0]))  # the second ended
    with tf.GradientTape() as tape:
        error = q_learning_error(q_tm1, *rest, fixed)
    np.testing.assert_allclose(error, [1 + 0.5 * 6 - 2, -1 - 3])
    of_q, of_fixed = tape.gradient(error, [q_tm1, fixed])
    np.testing.assert_allclose(tf.convert_to_tensor(of_q), [[0, -1], [-1, 0]])
    assert of_fixed is None
    np.testing.assert_allclose(q_learning_error(q_tm1, *rest, fixed, selector), [1 + 0.5 * 5 - 2, -1 - 3])


def test_rows_that_would_broadcast_are_refused() -> None:
    with pytest.raises(ValueError):
        policy_gradient(tf.zeros((2, 1)), tf.zeros(2))
