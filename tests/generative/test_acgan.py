"""`acgan`: its update against the papers' formulas, classes asked for by name and in rows, measures, clear sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from core.errors import UsageError
from core.layers.spectral import power_iterate, spectral_layers
from core.plugin import Context
from generative.acgan.config import ACGANConfig
from generative.acgan.model import ACGAN
from generative.data.labels import Labelled, classes_of
from generative.data.settings import DataConfig
from generative.data.sources import Pictures, open_data

DIGITS = DataConfig("digits", size=16)
SMALL: dict[str, Any] = {"batch": 4, "latent": 3, "width": 2, "eval_samples": 12}
KEY = [5, 0]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(seed=1, folder=tmp_path)


def weights(model: keras.Model) -> list[np.ndarray]:
    return [np.array(v) for v in model.trainable_variables]


def batch(model: ACGAN) -> tuple[tf.Tensor, tf.Tensor]:
    x, c = model.stream.next()
    return tf.cast(x, tf.float32) / 127.5 - 1, tf.constant(c)


def log_softmax(logits: tf.Tensor, c: tf.Tensor) -> tf.Tensor:
    """log P(C = c) [B], without the library's function."""
    return tf.reduce_sum(logits * tf.one_hot(c, 10), axis=1) - tf.math.log(tf.reduce_sum(tf.exp(logits), axis=1))


@pytest.mark.parametrize("saturating", [False, True])
def test_both_networks_climb_the_class_likelihood_and_differ_in_the_source(context: Context, saturating: bool) -> None:
    """theta_D follows L_S + L_C, theta_G L_C - L_S: the class term of generated pictures has one sign in both."""
    config = ACGANConfig(DIGITS, class_weight=0.7, saturating=saturating, **SMALL)
    model, twin = (ACGAN(config, context) for _ in range(2))
    x, c = batch(model)
    scalars = model._update(x, c, tf.constant(KEY, tf.int64))

    z_c = np.zeros((4, 13), np.float32)  # z, then 1 at the class
    z_c[:, :3] = tf.random.stateless_normal((4, 3), KEY)
    z_c[np.arange(4), 3 + np.asarray(c)] = 1
    with tf.GradientTape() as tape:
        fake, (real, real_c) = twin.G(z_c, training=True), twin.D(x, training=True)
        false, false_c = twin.D(fake, training=True)
        L_S = tf.reduce_mean(tf.math.log_sigmoid(real)) + tf.reduce_mean(tf.math.log_sigmoid(-false))
        L_C = tf.reduce_mean(log_softmax(real_c, c)) + tf.reduce_mean(log_softmax(false_c, c))
        loss = -(L_S + 0.7 * L_C)
    np.testing.assert_allclose(scalars[0], loss, rtol=1e-4)
    twin.D_optimizer.apply(tape.gradient(loss, twin.D.trainable_variables), twin.D.trainable_variables)
    with tf.GradientTape() as tape:
        false, false_c = twin.D(twin.G(z_c, training=True), training=True)
        source = tf.math.log_sigmoid(-false) if saturating else -tf.math.log_sigmoid(false)
        loss = tf.reduce_mean(source) - 0.7 * tf.reduce_mean(log_softmax(false_c, c))
    np.testing.assert_allclose(scalars[1], loss, rtol=1e-4)
    twin.G_optimizer.apply(tape.gradient(loss, twin.G.trainable_variables), twin.G.trainable_variables)
    for mine, its in zip(weights(model.D) + weights(model.G), weights(twin.D) + weights(twin.G), strict=True):
        np.testing.assert_allclose(mine, its, atol=2e-5)
    model.close(), twin.close()


def test_projection_adds_the_inner_product_with_the_vector_of_the_class(context: Context) -> None:
    """f(x, c) = v_c' phi(x) + psi(phi(x)) with every kernel under spectral norm, hinge loss, no class loss."""
    config = ACGANConfig(DIGITS, condition="projection", **SMALL)
    model, twin = (ACGAN(config, context) for _ in range(2))
    layers = list(spectral_layers(model.D))
    kernels = [layer for layer in model.D.layers if layer.weights]
    assert len(layers) == len(kernels) and not any("batch_norm" in layer.name for layer in model.D.layers)
    x, c = batch(model)
    scalars = model._update(x, c, tf.constant(KEY, tf.int64))
    assert len(scalars) == len(model.tags) == 4

    power_iterate(twin.D)
    phi = keras.Model(twin.D.input, next(layer for layer in twin.D.layers if layer.name.startswith("flatten")).output)
    heads = {units: next(h for h in spectral_layers(twin.D) if h.kernel.shape[-1] == units) for units in (1, 10)}

    def f(x: tf.Tensor) -> tf.Tensor:
        v = heads[10].kernel / heads[10].sigma()  # [F, 10]
        psi = phi(x) @ (heads[1].kernel / heads[1].sigma()) + heads[1].layer.bias
        return psi[:, 0] + tf.einsum("bf,fb->b", phi(x), tf.gather(v, c, axis=1))

    z_c = tf.concat([tf.random.stateless_normal((4, 3), KEY), tf.one_hot(c, 10)], axis=1)
    fake = twin.G(z_c, training=True)
    loss = tf.reduce_mean(tf.nn.relu(1 - f(x))) + tf.reduce_mean(tf.nn.relu(1 + f(fake)))
    np.testing.assert_allclose(scalars[0], loss, rtol=1e-4)
    model.close(), twin.close()


def test_labels_of_a_batch_are_those_of_its_pictures(context: Context) -> None:
    data = open_data(DataConfig("digits", mirror=True))
    assert isinstance(data, Pictures) and data.labels is not None
    classes = classes_of(data, context.folder)
    x, numbers = Labelled(data, classes).draw(3, 7, 50)
    np.testing.assert_array_equal(x, data.draw(3, 7, 50))
    whole = [*data.rows_at(np.arange(len(data)))]
    for picture, label in zip(x, classes[numbers], strict=True):
        found = [i for i, other in enumerate(whole) if (other == picture).all() or (other[:, ::-1] == picture).all()]
        assert label in data.labels[found]


def test_classes_are_asked_for_by_their_labels(context: Context, tmp_path: Path) -> None:
    """Labels 3, 7 and 40 are classes 0, 1 and 2; a text names a label, `sample` draws them in turn, a row has one."""
    images = np.random.default_rng(0).integers(256, size=(30, 16, 16, 1)).astype(np.uint8)
    np.savez(tmp_path / "mine.npz", images=images, labels=np.array([40, 3, 7] * 10))
    model = ACGAN(ACGANConfig(DataConfig(f"npz:{tmp_path / 'mine.npz'}"), **SMALL), context)
    assert list(model.captions) == ["3", "7", "40"]
    np.testing.assert_array_equal(model.sample(6, 2), model.draw(np.array([0, 1, 2, 0, 1, 2]), 2))
    np.testing.assert_array_equal(model.sample_text("40", 5, 2), model.draw(np.full(5, 2), 2))
    np.testing.assert_array_equal(model.sample_texts(["7", " 3"], 2), model.draw(np.array([1, 0]), 2))
    rows = model.rows(7, 4)[0].reshape(3, 16, 2, 16).swapaxes(1, 2)  # 7 pictures: two a row
    alone = model.draw(np.full(2, 1), 4)[..., 0]
    assert np.abs(rows[1].astype(int) - alone).max() <= 1
    exported = model.exportable()["generate"](model._noise(2, 4), tf.constant([7, 7], tf.int64))["image"]
    assert np.abs(np.asarray(exported, int)[..., 0] - alone).max() <= 1
    with pytest.raises(UsageError, match="there is no class '4'; did you mean '40'"):
        model.sample_text("4", 1)
    model.close()


def test_agreement_is_how_often_the_classifier_reads_the_class_asked_for(context: Context) -> None:
    """A generator that draws the data's own digits agrees nearly always; one that draws the next digit never does."""
    model = ACGAN(ACGANConfig(DataConfig("mnist5k"), **SMALL), context)
    measures = {"eval/protocol": "everything else"}  # takes seconds, and is not what is tested here
    model.evaluation.of_pictures = lambda sampler: dict(measures)
    digits = {k: model.data.rows_at(np.flatnonzero(model.data.labels == k)[:200]) for k in range(10)}

    def shifted(by: int) -> dict[str, Any]:
        model.draw = lambda c, seed=0: np.stack([digits[(k + by) % 10][i % 200] for i, k in enumerate(c)])
        return dict(model.evaluate())

    right, wrong = shifted(0), shifted(1)
    assert right["eval/agreement"] > 0.97 and right["eval/agreement_least"] > 0.9
    assert wrong["eval/agreement"] < 0.02 and right["eval/protocol"].startswith("everything else; agreement of 2,000")
    assert right["samples/classes"].shape == (1, 280, 280, 1)
    model.close()


def test_without_digits_nothing_is_read(context: Context, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(256, size=(30, 16, 16, 3)).astype(np.uint8)
    np.savez(tmp_path / "mine.npz", images=images, labels=np.arange(30) % 2)
    model = ACGAN(ACGANConfig(DataConfig(f"npz:{tmp_path / 'mine.npz'}"), **SMALL), context)
    measured = model.evaluate()
    assert "eval/agreement" not in measured and measured["samples/classes"].shape == (1, 32, 160, 3)
    model.close()


def test_samples_are_measured_with_classes_as_frequent_as_in_the_data(context: Context, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(256, size=(100, 16, 16, 1)).astype(np.uint8)
    np.savez(tmp_path / "mine.npz", images=images, labels=np.array([0] * 90 + [1] * 10))
    model = ACGAN(ACGANConfig(DataConfig(f"npz:{tmp_path / 'mine.npz'}"), **SMALL | {"eval_samples": 400}), context)
    asked: list[np.ndarray] = []
    draw = model.draw
    model.draw = lambda c, seed=0: asked.append(c) or draw(c, seed)
    model.evaluate()
    assert 0.05 < asked[0].mean() < 0.15
    model.close()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"class_weight": 0.0}, "class_weight is 0; it must be above 0"),
        ({"condition": "projection", "saturating": True}, "are of condition classifier"),
        ({"data": DataConfig("ring")}, "data.source is 'ring'; acgan learns labelled pictures"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        ACGANConfig(**settings)


def test_pictures_without_labels_get_a_sentence(context: Context, tmp_path: Path) -> None:
    images = np.zeros((10, 16, 16, 1), np.uint8)
    np.savez(tmp_path / "none.npz", images=images)
    np.savez(tmp_path / "one.npz", images=images, labels=np.ones(10, int))
    for name, has in (("none", "no labels"), ("one", "one label")):
        with pytest.raises(UsageError, match=f"has {has}; acgan learns pictures of two classes or more, e.g. mnist5k"):
            ACGAN(ACGANConfig(DataConfig(f"npz:{tmp_path / f'{name}.npz'}"), **SMALL), Context(1, tmp_path / name))
