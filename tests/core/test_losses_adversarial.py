"""Adversarial losses against numbers worked out by hand, for value, gradient, and what they do to D(real)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from core.losses import adversarial as L

REAL, FAKE = np.array([2.0, -1.0], np.float32), np.array([0.0, 3.0], np.float32)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def value_and_gradient(loss, *arguments: np.ndarray) -> tuple[float, list[np.ndarray]]:
    tensors = [tf.constant(a) for a in arguments]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = loss(*tensors)
    return float(value), [np.asarray(g) for g in tape.gradient(value, tensors)]


DISCRIMINATORS = {  # loss: (value, gradient in C(x_r), gradient in C(x_f))
    "standard_discriminator": (
        (softplus(-2) + softplus(1)) / 2 + (softplus(0) + softplus(3)) / 2,
        [(sigmoid(2) - 1) / 2, (sigmoid(-1) - 1) / 2],
        [sigmoid(0) / 2, sigmoid(3) / 2],
    ),
    "least_squares_discriminator": ((1 + 4) / 4 + (0 + 9) / 4, [0.5, -1.0], [0.0, 1.5]),
    "hinge_discriminator": ((0 + 2) / 2 + (1 + 4) / 2, [0.0, -0.5], [0.5, 0.5]),
    "wasserstein_critic": (1.5 - 0.5, [-0.5, -0.5], [0.5, 0.5]),
}
GENERATORS = {
    "nonsaturating_generator": ((softplus(0) + softplus(-3)) / 2, [-sigmoid(0) / 2, -sigmoid(-3) / 2]),
    "saturating_generator": (-(softplus(0) + softplus(3)) / 2, [-sigmoid(0) / 2, -sigmoid(3) / 2]),
    "least_squares_generator": ((1 + 4) / 4, [-0.5, 1.0]),
    "hinge_generator": (-1.5, [-0.5, -0.5]),
    "wasserstein_generator": (-1.5, [-0.5, -0.5]),
}


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_discriminator_losses_by_hand(name: str) -> None:
    value, by_real, by_fake = DISCRIMINATORS[name]
    got, gradients = value_and_gradient(getattr(L, name), REAL, FAKE)
    assert got == pytest.approx(value, rel=1e-5)
    np.testing.assert_allclose(gradients[0], by_real, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(gradients[1], by_fake, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", GENERATORS)
def test_generator_losses_by_hand(name: str) -> None:
    value, by_fake = GENERATORS[name]
    got, (gradient,) = value_and_gradient(getattr(L, name), FAKE)
    assert got == pytest.approx(value, rel=1e-5)
    np.testing.assert_allclose(gradient, by_fake, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_a_descent_step_raises_real_above_fake(name: str) -> None:
    zeros = np.zeros(3, np.float32)
    _, (by_real, by_fake) = value_and_gradient(getattr(L, name), zeros, zeros)
    assert (-by_real).sum() > (-by_fake).sum(), "minimising D's loss must widen C(x_r) - C(x_f)"
    assert (-by_real).sum() > 0


@pytest.mark.parametrize("name", GENERATORS)
def test_a_descent_step_raises_fake(name: str) -> None:
    _, (gradient,) = value_and_gradient(getattr(L, name), np.zeros(3, np.float32))
    assert (gradient < 0).all(), "minimising G's loss must raise C(x_f)"


def test_label_smoothing_moves_the_optimum_of_real_only() -> None:
    best = math.log(0.9 / 0.1)  # sigmoid(best) = 0.9
    real = np.array([best], np.float32)
    _, (by_real, by_fake) = value_and_gradient(lambda r, f: L.standard_discriminator(r, f, 0.9), real, real)
    assert by_real[0] == pytest.approx(0, abs=1e-6)
    assert by_fake[0] == pytest.approx(sigmoid(best), rel=1e-5)


def test_large_logits_stay_finite() -> None:
    big = np.array([1e4, -1e4], np.float32)
    assert np.isfinite(value_and_gradient(L.standard_discriminator, big, big)[0])
    assert value_and_gradient(L.nonsaturating_generator, big)[0] == pytest.approx(5e3)


def test_gradient_penalty_of_a_linear_critic() -> None:
    w = tf.Variable([[[3.0], [4.0]]])  # C(x) = <w, x>, x [B, 1, 2, 1]: |grad| = 5 wherever x is

    def critic(x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(x * w, axis=[1, 2, 3])

    rng = np.random.default_rng(0)
    real, fake = (tf.constant(rng.normal(size=(6, 1, 2, 1)), tf.float32) for _ in range(2))
    alpha = tf.constant(rng.uniform(size=6), tf.float32)
    with tf.GradientTape() as tape:
        penalty = L.critic_gradient_penalty(critic, real, fake, alpha)
    assert float(penalty) == pytest.approx((5 - 1) ** 2, rel=1e-5)
    np.testing.assert_allclose(tape.gradient(penalty, w), 2 * 4 * np.array([[[0.6], [0.8]]]), rtol=1e-5)


def test_gradient_penalty_mixes_each_example_with_its_own_alpha() -> None:
    seen = []

    def critic(x: tf.Tensor) -> tf.Tensor:
        seen.append(x.numpy())
        return 0.5 * tf.reduce_sum(tf.square(x), axis=1)  # gradient x

    real, fake = tf.constant([[1.0, 1.0], [2.0, 0.0]]), tf.constant([[0.0, 0.0], [0.0, 4.0]])
    penalty = L.critic_gradient_penalty(critic, real, fake, tf.constant([1.0, 0.25]))
    np.testing.assert_allclose(seen[0], [[1, 1], [0.5, 3.0]])
    expected = ((math.sqrt(2) - 1) ** 2 + (math.sqrt(0.25 + 9) - 1) ** 2) / 2
    assert float(penalty) == pytest.approx(expected, rel=1e-5)


def test_gradient_penalty_is_differentiable_where_the_gradient_vanishes() -> None:
    w = tf.Variable([0.0, 0.0])
    with tf.GradientTape() as tape:
        penalty = L.critic_gradient_penalty(
            lambda x: tf.linalg.matvec(x, w), tf.ones((2, 2)), tf.zeros((2, 2)), tf.constant([0.3, 0.7])
        )
    assert np.isfinite(tape.gradient(penalty, w)).all()


def test_zero_centred_penalty_by_hand() -> None:
    w = tf.Variable([3.0, 4.0])
    with tf.GradientTape() as tape:
        penalty = L.zero_centred_penalty(lambda x: tf.linalg.matvec(x, w), tf.ones((5, 2)))
    assert float(penalty) == pytest.approx(12.5)
    np.testing.assert_allclose(tape.gradient(penalty, w), [3.0, 4.0])


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError):
        L.standard_discriminator(tf.zeros((2, 1)), tf.zeros(2))
    with pytest.raises(tf.errors.InvalidArgumentError):
        L.critic_gradient_penalty(lambda x: x, tf.zeros((2, 1)), tf.zeros((2, 1)), tf.zeros(3))
