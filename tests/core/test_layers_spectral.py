"""Spectral normalisation against numpy's SVD, its gradient against the closed form, and its manners."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from core.layers.spectral import SpectralNormalization, kernel_matrix, power_iterate, sigma_penalty, sigmas
from core.layers.upsampling import CroppedConv2DTranspose

LAYERS = {
    "dense": (lambda: keras.layers.Dense(7), (3, 5)),
    "conv": (lambda: keras.layers.Conv2D(6, 3, padding="same"), (2, 8, 8, 3)),
    "transposed": (lambda: keras.layers.Conv2DTranspose(6, 4, strides=2, padding="same"), (2, 8, 8, 3)),
    "cropped transposed": (lambda: CroppedConv2DTranspose(6, 5, (15, 15)), (2, 8, 8, 3)),
    "embedding": (lambda: keras.layers.Embedding(9, 4), (2, 5)),
}


def made(kind: str, **kwargs) -> tuple[SpectralNormalization, tf.Tensor]:
    keras.utils.set_random_seed(0)
    make, shape = LAYERS[kind]
    rng = np.random.default_rng(1)
    if kind == "embedding":
        x = tf.constant(rng.integers(9, size=shape))
    else:
        x = tf.constant(rng.normal(size=shape), tf.float32)
    layer = SpectralNormalization(make(), **kwargs)
    layer(x)
    return layer, x


def matrix(layer: SpectralNormalization) -> np.ndarray:
    """[outputs, rest], written out without the code under test."""
    W = np.asarray(layer.kernel)
    if "Transpose" in type(layer.layer).__name__:
        return np.moveaxis(W, 2, 0).reshape(W.shape[2], -1)  # (h, w, out, in)
    return np.moveaxis(W, -1, 0).reshape(W.shape[-1], -1)


@pytest.mark.parametrize("kind", LAYERS)
def test_sigma_is_the_largest_singular_value(kind: str) -> None:
    layer, x = made(kind)
    assert sorted(np.ravel(kernel_matrix(layer.layer, layer.kernel.value))) == sorted(np.ravel(layer.kernel))
    for _ in range(200):
        layer.power_iterate()
    true = np.linalg.svd(matrix(layer), compute_uv=False)[0]
    assert float(layer.sigma()) == pytest.approx(true, rel=1e-4)
    assert np.linalg.norm(layer.u) == pytest.approx(1, abs=1e-5) and np.linalg.norm(layer.v) == pytest.approx(
        1, abs=1e-5
    )

    plain = LAYERS[kind][0]()
    plain.build(x.shape)
    for mine, its in zip(plain.weights, layer.layer.weights, strict=True):
        mine.assign(its / true if its is layer.kernel else its)
    np.testing.assert_allclose(layer(x), plain(x), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", LAYERS)
def test_gradient_goes_through_sigma(kind: str) -> None:
    """d/dW f(W / sigma) = (G - <G, W/sigma> u v') / sigma with G = f'(W / sigma): Miyato et al., eq. 12."""
    layer, x = made(kind)
    projection = tf.constant(np.random.default_rng(2).normal(size=layer(x).shape), tf.float32)

    def linear(output: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(output * projection)

    with tf.GradientTape() as tape:
        value = linear(layer(x))
    got = tf.convert_to_tensor(tape.gradient(value, layer.kernel.value))

    unnormalised = layer.kernel.value
    with tf.GradientTape() as tape:
        tape.watch(unnormalised)
        with keras.StatelessScope([(layer.kernel, unnormalised)]):
            value = linear(layer.layer(x))
    G = tf.convert_to_tensor(tape.gradient(value, unnormalised))
    sigma = float(layer.sigma())
    with tf.GradientTape() as tape:
        s = layer.sigma()
    uv = tf.convert_to_tensor(tape.gradient(s, layer.kernel.value))
    expected = (G - tf.reduce_sum(G * layer.kernel.value) / sigma * uv) / sigma
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(
        kernel_matrix(layer.layer, uv), np.outer(layer.u, layer.v), rtol=1e-4, atol=1e-6, err_msg="dsigma/dW = u v'"
    )


def test_one_power_iteration_is_the_papers() -> None:
    layer, _ = made("dense")
    W, u = matrix(layer), np.random.default_rng(5).normal(size=7)
    u /= np.linalg.norm(u)
    layer.u.assign(u)
    layer.power_iterate()
    v = W.T @ u / np.linalg.norm(W.T @ u)
    np.testing.assert_allclose(layer.v, v, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer.u, W @ v / np.linalg.norm(W @ v), rtol=1e-5, atol=1e-6)


def test_calling_changes_nothing() -> None:
    layer, x = made("conv")
    before = [np.array(w) for w in layer.weights]
    first, second = layer(x, training=True), layer(x, training=False)
    np.testing.assert_array_equal(first, second)
    for now, then in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(now, then)
    assert [w.name for w in layer.trainable_weights] == ["kernel", "bias"]


def network() -> keras.Model:
    x = keras.Input((4,))
    inner = keras.Sequential([keras.Input((6,)), SpectralNormalization(keras.layers.Dense(5))])
    h = inner(SpectralNormalization(keras.layers.Dense(6), seed=1)(x))
    return keras.Model(x, SpectralNormalization(keras.layers.Dense(1), divide=False)(h))


def test_power_iterate_finds_nested_layers_and_runs_in_a_graph() -> None:
    model = network()
    assert sigmas(model).shape == (3,)
    kernels = [w for w in model.trainable_weights if w.name == "kernel"]
    kernels[0].assign(10 * kernels[0])
    iterate = tf.function(lambda: power_iterate(model))
    for _ in range(100):
        iterate()
    true = sorted(np.linalg.svd(np.asarray(k), compute_uv=False)[0] for k in kernels)
    np.testing.assert_allclose(sorted(np.asarray(sigmas(model))), true, rtol=1e-3)


def test_penalty_gradient_is_sigma_u_v() -> None:
    layer, _ = made("dense", divide=False)
    model = keras.Sequential([keras.Input((5,)), layer])
    with tf.GradientTape() as tape:
        penalty = sigma_penalty(model)
    gradient = tf.convert_to_tensor(tape.gradient(penalty, layer.kernel.value))
    sigma = float(layer.sigma())
    assert float(penalty) == pytest.approx(sigma**2 / 2, rel=1e-6)
    np.testing.assert_allclose(gradient, (sigma * np.outer(layer.u, layer.v)).T, rtol=1e-4, atol=1e-6)


def test_watching_only_leaves_the_output_alone() -> None:
    layer, x = made("dense", divide=False)
    np.testing.assert_array_equal(layer(x), layer.layer(x))


def test_bfloat16_layers_keep_float32_statistics() -> None:
    layer = SpectralNormalization(keras.layers.Dense(3, dtype="mixed_bfloat16"))
    output = layer(tf.ones((2, 4)))
    assert output.dtype == tf.bfloat16
    assert layer.u.dtype == "float32" and layer.sigma().dtype == tf.float32


def test_saved_and_loaded(tmp_path) -> None:
    model = network()
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "model.keras")(x), model(x), rtol=1e-6)
