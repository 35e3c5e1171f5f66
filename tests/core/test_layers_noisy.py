from __future__ import annotations

import numpy as np
import tensorflow as tf

from core.layers.noisy import NoisyDense


def built(inputs: int, units: int, **settings: object) -> NoisyDense:
    layer = NoisyDense(units, "noisy", 3, **settings)  # type: ignore[arg-type]
    layer(tf.zeros((1, inputs)), tf.zeros((1, inputs + units)))
    return layer


def test_by_hand() -> None:
    """f(4) = 2, f(-9) = -3, f(1) = 1: (1 + 0.5 * 2 * 1) * 10 + (2 + 0.25 * -3 * 1) * 20 + 3 + 0.1 * 1."""
    layer = built(2, 1)
    assert layer.width == 3
    values = (
        (layer.kernel, [[1.0], [2.0]]),
        (layer.bias, [3.0]),
        (layer.kernel_sigma, [[0.5], [0.25]]),
        (layer.bias_sigma, [0.1]),
    )
    for weight, value in values:
        weight.assign(value)
    x, xi = tf.constant([[10.0, 20.0]]), tf.constant([[4.0, -9.0, 1.0]])
    np.testing.assert_allclose(layer(x, xi), [[20 + 25 + 3.1]], rtol=1e-6)
    np.testing.assert_allclose(layer(x, tf.zeros((1, 3))), [[10 + 40 + 3]], rtol=1e-6)  # no noise, the means


def test_the_noise_of_weights_is_an_outer_product_and_one_for_all_rows() -> None:
    """Unit vectors as rows read the weights off: eps_w = f(xi_in) f(xi_out)^T, eps_b = f(xi_out)."""
    layer, rng = built(4, 3), np.random.default_rng(0)
    xi = rng.standard_normal((1, 7), np.float32)
    f = np.sign(xi[0]) * np.sqrt(np.abs(xi[0]))
    mean = layer(np.eye(5, 4, dtype=np.float32), tf.zeros((1, 7)))  # the last row is the bias alone
    moved = np.array(layer(np.eye(5, 4, dtype=np.float32), xi) - mean)
    sigma = 0.5 / np.sqrt(4)
    np.testing.assert_allclose(moved[4], sigma * f[4:], rtol=1e-5)
    np.testing.assert_allclose(moved[:4] - moved[4], sigma * np.outer(f[:4], f[4:]), atol=1e-6)


def test_mean_and_variance_over_many_draws() -> None:
    """E f(xi)^2 = E |xi| = sqrt(2 / pi) = c, so the variance is sigma^2 (c^2 sum x^2 + c)."""
    layer, N = built(3, 2), 400_000
    x = np.array([[1.0, -2.0, 0.5]], np.float32)
    xi = np.random.default_rng(0).standard_normal((N, 5), np.float32)
    y, mean = np.array(layer(np.repeat(x, N, axis=0), xi)), np.array(layer(x, np.zeros((1, 5), np.float32)))
    c, sigma = np.sqrt(2 / np.pi), 0.5 / np.sqrt(3)
    variance = sigma**2 * (c**2 * (x**2).sum() + c)
    np.testing.assert_allclose(y.mean(axis=0), mean[0], atol=5 * np.sqrt(variance / N))
    np.testing.assert_allclose(y.var(axis=0), variance, rtol=0.02)


def test_it_starts_as_the_paper_says() -> None:
    layer, other = built(64, 50), NoisyDense(50, "other", 3)
    other(tf.zeros((1, 64)), tf.zeros((1, 114)))
    for weight in (layer.kernel, layer.bias):
        values = np.array(weight)
        assert (
            np.abs(values).max() <= 1 / 8 and abs(values.mean()) < 0.03 and 0.05 < values.std() < 0.09
        )  # 0.25 / sqrt(12)
    for weight in (layer.kernel_sigma, layer.bias_sigma):
        np.testing.assert_allclose(weight, 0.5 / 8)
    assert not np.allclose(layer.kernel, other.kernel) and not np.allclose(layer.kernel[0], layer.bias)
    np.testing.assert_allclose(built(64, 50, sigma0=0.1).bias_sigma, 0.1 / 8)


def test_gradients_reach_means_and_sigmas() -> None:
    """d y / d sigma_w = x f(xi_in) f(xi_out), d y / d sigma_b = f(xi_out)."""
    layer = built(2, 1)
    x, xi = tf.constant([[10.0, 20.0]]), tf.constant([[4.0, -9.0, 0.25]])
    with tf.GradientTape() as tape:
        y = layer(x, xi)
    gradient = tape.gradient(y, layer.trainable_variables)
    by_name = {v.name: np.array(g).ravel() for v, g in zip(layer.trainable_variables, gradient, strict=True)}
    np.testing.assert_allclose(by_name["kernel"], [10, 20])
    np.testing.assert_allclose(by_name["bias"], [1])
    np.testing.assert_allclose(by_name["kernel_sigma"], [10 * 2 * 0.5, 20 * -3 * 0.5])
    np.testing.assert_allclose(by_name["bias_sigma"], [0.5])
