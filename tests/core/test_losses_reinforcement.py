import numpy as np
import pytest
import tensorflow as tf

from core.losses.reinforcement import categorical_entropy, policy_gradient, squared_error


def test_policy_gradient_value_and_gradient_by_hand() -> None:
    """d/dz [-A log softmax(z)_a] = A (pi - onehot(a))."""
    logits = tf.Variable([[0.0, np.log(3.0)], [0.0, 0.0]])  # pi = (1/4, 3/4), (1/2, 1/2)
    action, advantage = tf.constant([0, 1]), tf.constant([2.0, -1.0])
    with tf.GradientTape() as tape:
        loss = policy_gradient(logits, action, advantage)
    np.testing.assert_allclose(loss, [2 * np.log(4), -np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(loss, logits), [[2 * (0.25 - 1), 2 * 0.75], [-0.5, -(0.5 - 1)]], rtol=1e-6)


def test_a_step_makes_a_good_action_likelier() -> None:
    logits = tf.Variable([[0.0, 0.0, 0.0]])
    with tf.GradientTape() as tape:
        loss = policy_gradient(logits, tf.constant([1]), tf.constant([1.0]))
    logits.assign_sub(tape.gradient(loss, logits))
    assert tf.nn.softmax(logits)[0, 1] > 1 / 3


def test_the_advantage_is_a_constant() -> None:
    advantage = tf.Variable([1.0])
    with tf.GradientTape() as tape:
        loss = policy_gradient(tf.zeros((1, 2)), tf.constant([0]), advantage)
    assert tape.gradient(loss, advantage) is None


def test_entropy_by_hand() -> None:
    np.testing.assert_allclose(categorical_entropy(tf.zeros((1, 4))), [np.log(4)], rtol=1e-6)
    p = np.array([0.25, 0.75])
    logits = tf.Variable(np.log(p)[None].astype(np.float32))
    with tf.GradientTape() as tape:
        entropy = categorical_entropy(logits)
    H = -(p * np.log(p)).sum()
    np.testing.assert_allclose(entropy, [H], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(entropy, logits)[0], -p * (np.log(p) + H), rtol=1e-5)


def test_squared_error_moves_the_prediction_only() -> None:
    v, target = tf.Variable([1.0, 2.0]), tf.Variable([3.0, 2.0])
    with tf.GradientTape() as tape:
        loss = squared_error(v, target)
    np.testing.assert_allclose(loss, [2.0, 0.0])
    gradient = tape.gradient(loss, [v, target])
    np.testing.assert_allclose(gradient[0], [-2.0, 0.0])
    assert gradient[1] is None


@pytest.mark.parametrize("shape", [(2,), (2, 3, 1)])
def test_logits_of_another_rank_are_refused(shape: tuple) -> None:
    with pytest.raises(ValueError):
        policy_gradient(tf.zeros(shape), tf.zeros(2, tf.int32), tf.zeros(2))
