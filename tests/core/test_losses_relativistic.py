"""Relativistic losses against numbers worked out by hand; the published slip in the second term is shown to differ."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from core.losses import relativistic as L

REAL, FAKE = np.array([2.0, -1.0], np.float32), np.array([0.0, 3.0], np.float32)  # means 0.5 and 1.5


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def value_and_gradient(loss, real: np.ndarray, fake: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    r, f = tf.constant(real), tf.constant(fake)
    with tf.GradientTape() as tape:
        tape.watch([r, f])
        value = loss(r, f)
    by_real, by_fake = tape.gradient(value, [r, f])
    return float(value), np.asarray(by_real), np.asarray(by_fake)


def average_gradients(by_above: np.ndarray, by_below: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chain rule by hand: above_i = r_i - mean f, below_j = f_j - mean r, the loss a mean of each over 2."""
    by_real = by_above / 2 - by_below.sum() / 2 / 2
    by_fake = by_below / 2 - by_above.sum() / 2 / 2
    return by_real, by_fake


ABOVE, BELOW = np.array([0.5, -2.5]), np.array([-0.5, 2.5])
AVERAGED = {  # loss: (value, d/d above, d/d below)
    "rasgan": (
        (softplus(-0.5) + softplus(2.5)) / 2 + (softplus(-0.5) + softplus(2.5)) / 2,
        np.array([sigmoid(0.5) - 1, sigmoid(-2.5) - 1]),
        np.array([sigmoid(-0.5), sigmoid(2.5)]),
    ),
    "ralsgan": ((0.25 + 12.25) / 2 + (0.25 + 12.25) / 2, 2 * (ABOVE - 1), 2 * (BELOW + 1)),
    "rahinge": ((0.5 + 3.5) / 2 + (0.5 + 3.5) / 2, np.array([-1.0, -1.0]), np.array([1.0, 1.0])),
}


@pytest.mark.parametrize("name", AVERAGED)
def test_averaged_losses_by_hand(name: str) -> None:
    expected, by_above, by_below = AVERAGED[name]
    value, by_real, by_fake = value_and_gradient(getattr(L, name), REAL, FAKE)
    assert value == pytest.approx(expected, rel=1e-5)
    real, fake = average_gradients(by_above, by_below)
    np.testing.assert_allclose(by_real, real, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(by_fake, fake, rtol=1e-5, atol=1e-6)


def test_rsgan_by_hand() -> None:
    value, by_real, by_fake = value_and_gradient(L.rsgan, REAL, FAKE)
    assert value == pytest.approx((softplus(-2) + softplus(4)) / 2, rel=1e-5)
    np.testing.assert_allclose(by_real, [-sigmoid(-2) / 2, -sigmoid(4) / 2], rtol=1e-5)
    np.testing.assert_allclose(by_fake, -by_real)


@pytest.mark.parametrize("name", L.__all__)
def test_discriminator_raises_real_and_generator_lowers_it(name: str) -> None:
    loss, zeros = getattr(L, name), np.zeros(4, np.float32)
    _, by_real, by_fake = value_and_gradient(loss, zeros, zeros)
    assert (by_real < 0).all() and (by_fake > 0).all(), "D: C(x_r) up, C(x_f) down"
    _, by_first, by_second = value_and_gradient(lambda r, f: loss(f, r), zeros, zeros)
    assert (by_first > 0).all() and (by_second < 0).all(), "G, arguments exchanged: D(real) down, D(fake) up"


@pytest.mark.parametrize("name", L.__all__)
def test_only_differences_count(name: str) -> None:
    loss = getattr(L, name)
    value, by_real, by_fake = value_and_gradient(loss, REAL, FAKE)
    assert value_and_gradient(loss, REAL + 7, FAKE + 7)[0] == pytest.approx(value, rel=1e-5)
    assert by_real.sum() + by_fake.sum() == pytest.approx(0, abs=1e-6)


def test_the_second_term_is_not_the_first_again() -> None:
    real, fake = np.array([2.0, 0.0], np.float32), np.array([0.0, 5.0], np.float32)
    slip = np.mean([softplus(-(r - 2.5)) for r in real]) + np.mean([softplus(r - 1.0) for r in real])
    assert value_and_gradient(L.rasgan, real, fake)[0] != pytest.approx(slip, rel=0.05)


def test_pairs_must_match() -> None:
    with pytest.raises(ValueError):
        L.rsgan(tf.zeros(2), tf.zeros(3))
