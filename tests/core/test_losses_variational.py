"""Terms of the evidence lower bound against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from core.losses.variational import bernoulli_nll, gaussian_kl, gaussian_nll, importance_weighted_nll


def test_bernoulli_nll_sums_over_pixels() -> None:
    logits = np.array([[[0.0], [2.0]], [[-1.0], [3.0]]], np.float32)  # [2, 2, 1]
    x = np.array([[[1.0], [0.0]], [[0.0], [1.0]]], np.float32)
    p = 1 / (1 + np.exp(-logits))
    expected = -np.log(np.where(x == 1, p, 1 - p)).sum(axis=(1, 2))
    np.testing.assert_allclose(bernoulli_nll(logits, x), expected, rtol=1e-5)


def test_gaussian_nll_is_scipys() -> None:
    rng = np.random.default_rng(0)
    mean, x = rng.normal(size=(2, 3, 4)).astype(np.float32)
    expected = -scipy.stats.norm(mean, 0.3).logpdf(x).sum(axis=1)
    np.testing.assert_allclose(gaussian_nll(mean, x, 0.3), expected, rtol=1e-4)


def test_gaussian_kl_closed_form_and_gradient() -> None:
    mean, log_variance = tf.constant([[1.0, 0.0, -2.0]]), tf.constant([[0.0, math.log(4.0), 0.0]])
    with tf.GradientTape() as tape:
        tape.watch([mean, log_variance])
        kl = gaussian_kl(mean, log_variance)
    np.testing.assert_allclose(kl, [[0.5, 0.5 * (4 - 1 - math.log(4)), 2.0]], rtol=1e-6)
    by_mean, by_log_variance = tape.gradient(kl, [mean, log_variance])
    np.testing.assert_allclose(by_mean, mean)
    np.testing.assert_allclose(by_log_variance, [[0.0, 1.5, 0.0]], atol=1e-6)


def test_gaussian_kl_is_the_monte_carlo_mean() -> None:
    rng = np.random.default_rng(1)
    mean, sigma = 0.7, 0.5
    z = rng.normal(mean, sigma, 400_000)
    estimate = (scipy.stats.norm(mean, sigma).logpdf(z) - scipy.stats.norm().logpdf(z)).mean()
    kl = gaussian_kl(tf.constant([[mean]]), tf.constant([[2 * math.log(sigma)]]))
    assert float(kl[0, 0]) == pytest.approx(estimate, abs=5e-3)


def linear_gaussian(K: int, seed: int) -> tuple[float, float]:
    """p(z) = N(0, 1), p(x | z) = N(z, 1), so p(x) = N(0, 2). Returns (estimate with a poor q, exact) at x = 1.5."""
    rng = np.random.default_rng(seed)
    x, mean, log_variance = 1.5, 0.2, math.log(0.8)
    z = rng.normal(mean, math.sqrt(0.8), (K, 1, 1)).astype(np.float32)
    nll = -scipy.stats.norm(z[..., 0], 1).logpdf(x).astype(np.float32)  # [K, 1]
    estimate = importance_weighted_nll(nll, z, tf.constant([[mean]]), tf.constant([[log_variance]]))
    return float(estimate[0]), -scipy.stats.norm(0, math.sqrt(2)).logpdf(x)


def test_importance_weighted_nll_converges_from_above() -> None:
    many, exact = linear_gaussian(50_000, 0)
    assert many == pytest.approx(exact, abs=0.01)
    one = np.mean([linear_gaussian(1, seed)[0] for seed in range(300)])
    assert one > exact + 0.05


def test_importance_weights_are_exact_for_the_true_posterior() -> None:
    x, rng = 1.5, np.random.default_rng(3)
    z = rng.normal(x / 2, math.sqrt(0.5), (3, 1, 1)).astype(np.float32)
    nll = -scipy.stats.norm(z[..., 0], 1).logpdf(x).astype(np.float32)
    estimate = importance_weighted_nll(nll, z, tf.constant([[x / 2]]), tf.constant([[math.log(0.5)]]))
    assert float(estimate[0]) == pytest.approx(-scipy.stats.norm(0, math.sqrt(2)).logpdf(x), abs=1e-5)


def test_shapes_are_checked() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        bernoulli_nll(tf.zeros((2, 3)), tf.zeros((2, 4)))
    with pytest.raises(ValueError):
        gaussian_kl(tf.zeros((2, 3)), tf.zeros((2, 4)))
