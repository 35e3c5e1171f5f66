"""`bigan`: its update against the paper's formulas, scores and reconstructions, what is measured, clear sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from core.errors import UsageError
from core.metrics.features import Extractor
from core.plugin import Context
from generative.bigan.config import BiGANConfig
from generative.bigan.model import BiGAN
from generative.data.settings import DataConfig

DIGITS = DataConfig("digits", size=16)
SMALL: dict[str, Any] = {"batch": 4, "latent": 3, "width": 2, "hidden": 4, "eval_samples": 12, "held_out": 0.02}
KEY = [5, 0]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(seed=1, folder=tmp_path)


def weights(*models: keras.Model) -> list[np.ndarray]:
    return [np.array(v) for model in models for v in model.trainable_variables]


def test_d_tells_the_pairs_apart_and_g_and_e_exchange_their_sides(context: Context) -> None:
    model, twin = (BiGAN(BiGANConfig(DIGITS, **SMALL), context) for _ in range(2))
    x = tf.cast(model.stream.next(), tf.float32) / 127.5 - 1
    scalars = np.asarray(model._update(x, tf.constant(KEY, tf.int64)))

    z = tf.random.stateless_normal((4, 3), KEY)

    def D() -> tuple[tf.Tensor, tf.Tensor]:
        real, _ = twin.D([x, twin.E(x, training=True)], training=True)
        fake, _ = twin.D([twin.G(z, training=True), z], training=True)
        return tf.sigmoid(real), tf.sigmoid(fake)

    with tf.GradientTape() as tape:
        real, fake = D()
        D_loss = -tf.reduce_mean(tf.math.log(real)) - tf.reduce_mean(tf.math.log(1 - fake))
    twin.D_optimizer.apply(tape.gradient(D_loss, twin.D.trainable_variables), twin.D.trainable_variables)
    with tf.GradientTape() as tape:
        real, fake = D()
        loss = -tf.reduce_mean(tf.math.log(fake)) - tf.reduce_mean(tf.math.log(1 - real))
    twin.optimizer.apply(tape.gradient(loss, twin.variables), twin.variables)
    np.testing.assert_allclose(scalars[:2], [D_loss, loss], rtol=1e-4)
    parts = [(m.D, m.G, m.E) for m in (model, twin)]
    for mine, its in zip(*(weights(*models) for models in parts), strict=True):
        np.testing.assert_allclose(mine, its, atol=2e-5)
    model.close(), twin.close()


def test_d_sees_the_code(context: Context) -> None:
    model = BiGAN(BiGANConfig(DIGITS, **SMALL), context)
    x = np.zeros((2, 16, 16, 1), np.float32)
    output, features = model.D([x, np.array([[0, 0, 0], [1, 2, 3]], np.float32)])
    assert float(output[0]) != float(output[1]) and features.shape == (2, 4)
    model.close()


@pytest.mark.parametrize("w", [0.0, 0.25])
def test_a_score_is_the_difference_of_the_pictures_and_of_ds_features(context: Context, w: float) -> None:
    model = BiGAN(BiGANConfig(DIGITS, feature_weight=w, **SMALL), context)
    images = np.random.default_rng(0).integers(256, size=(5, 16, 16, 1)).astype(np.uint8)
    scores, again = model.anomalies(images)
    x = tf.constant(images.astype(np.float32) / 127.5 - 1)
    z = model.E_average(x, training=False)
    x_again = model.G_average(z, training=False)
    f, f_again = (np.asarray(model.D([picture, z], training=False)[1]) for picture in (x, x_again))
    expected = (1 - w) * np.abs(x - x_again).mean(axis=(1, 2, 3)) + w * np.abs(f - f_again).mean(axis=1)
    np.testing.assert_allclose(scores, expected, rtol=1e-4)
    np.testing.assert_allclose(again, np.round((np.asarray(x_again) + 1) * 127.5), atol=1)
    model.close()


def test_the_same_digit_is_what_the_classifier_reads_in_reconstructions(context: Context) -> None:
    """A reconstruction that is the picture itself reads as the picture does; one of another digit does not."""
    model = BiGAN(BiGANConfig(DataConfig("mnist5k"), **SMALL), context)
    measures = {"eval/protocol": "everything else"}  # takes seconds, and is not what is tested here
    model.evaluation.of_pictures = lambda sampler: dict(measures)
    normal = model.parts.normal
    images = normal.reference(len(normal))
    read = Extractor().classify(images)
    model.anomalies = lambda images: (np.zeros(len(images)), images)
    measured = model.evaluate()
    assert (
        measured["eval/same_digit"] == measured["eval/same_digit_real"] == pytest.approx(np.mean(read == normal.labels))
    )
    assert measured["eval/same_digit"] > 0.95 and measured["eval/reconstruction"] == 0
    seven = images[normal.labels == 7][:1]
    model.anomalies = lambda images: (np.zeros(len(images)), np.repeat(seven, len(images), axis=0))
    assert model.evaluate()["eval/same_digit"] == pytest.approx(np.mean(normal.labels == 7))
    model.close()


def test_a_class_is_left_out_and_found(context: Context) -> None:
    model = BiGAN(BiGANConfig(DIGITS, anomaly="3", **SMALL), context)
    assert not (model.parts.train.labels == 3).any()
    model.anomalies = lambda images: (images.mean(axis=(1, 2, 3)), images)
    images, anomalous = model.parts.measured()
    brightness = images.mean(axis=(1, 2, 3))
    high, low = brightness[anomalous][:, None], brightness[~anomalous]
    assert model.evaluate()["eval/auc"] == pytest.approx(np.mean((high > low) + 0.5 * (high == low)))
    model.close()


def test_both_averages_follow(context: Context) -> None:
    model = BiGAN(BiGANConfig(DIGITS, **{**SMALL, "ema": 0.9}), context)
    model.evaluation = None  # which is for data that cannot be measured
    start = weights(model.G, model.E)
    tf.config.run_functions_eagerly(True)
    try:
        model.step()
    finally:
        tf.config.run_functions_eagerly(False)
    averages = weights(model.G_average, model.E_average)
    for average, old, new in zip(averages, start, weights(model.G, model.E), strict=True):
        np.testing.assert_allclose(average, 0.1 * old + 0.9 * new, atol=1e-6)  # min(0.9, 1 / 10) of the old at t = 0
    model.close()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"held_out": 0.0}, "held_out is 0; it must lie between 0 and 1"),
        ({"feature_weight": 1.5}, r"feature_weight is 1.5; it must lie in \[0, 1\]"),
        ({"data": DataConfig("ring")}, "data.source is 'ring'; bigan learns pictures"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        BiGANConfig(**settings)
