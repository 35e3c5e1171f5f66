"""`ganomaly`: its update against the paper's formulas, the score, what is measured, clear sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from core.errors import UsageError
from core.plugin import Context
from generative.data.settings import DataConfig
from generative.ganomaly.config import GANomalyConfig
from generative.ganomaly.model import GANomaly

DIGITS = DataConfig("digits", size=16)
SMALL: dict[str, Any] = {"batch": 4, "latent": 3, "width": 2}


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(seed=1, folder=tmp_path)


def weights(*models: keras.Model) -> list[np.ndarray]:
    return [np.array(v) for model in models for v in model.trainable_variables]


def test_one_update_is_a_step_of_all_three_parts_of_g_and_one_of_d_at_the_same_point(context: Context) -> None:
    config = GANomalyConfig(DIGITS, adversarial=2.0, contextual=7.0, latent_weight=0.5, **SMALL)
    model, twin = (GANomaly(config, context) for _ in range(2))
    x = tf.cast(model.stream.next(), tf.float32) / 127.5 - 1
    scalars = np.asarray(model._update(x))

    def forward() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        z = twin.G_E(x, training=True)
        again = twin.G_D(z, training=True)
        return z, again, twin.E(again, training=True)

    again_first = forward()[1]  # before G has moved
    with tf.GradientTape() as tape:
        z, again, z_again = forward()
        (_, f), (_, f_again) = twin.D(x, training=True), twin.D(again, training=True)
        L_adv = tf.reduce_mean((f - f_again) ** 2)
        L_con = tf.reduce_mean(tf.abs(x - again))
        L_enc = tf.reduce_mean((z - z_again) ** 2)
        loss = 2.0 * L_adv + 7.0 * L_con + 0.5 * L_enc
    twin.G_optimizer.apply(tape.gradient(loss, twin.G_variables), twin.G_variables)
    with tf.GradientTape() as tape:
        (real, _), (fake, _) = twin.D(x, training=True), twin.D(again_first, training=True)
        D_loss = -tf.reduce_mean(tf.math.log_sigmoid(real)) - tf.reduce_mean(tf.math.log_sigmoid(-fake))
    twin.D_optimizer.apply(tape.gradient(D_loss, twin.D.trainable_variables), twin.D.trainable_variables)
    np.testing.assert_allclose(scalars, [loss, L_adv, L_con, L_enc, D_loss], rtol=1e-4)
    parts = [(m.G_E, m.G_D, m.E, m.D) for m in (model, twin)]
    for mine, its in zip(*(weights(*models) for models in parts), strict=True):
        np.testing.assert_allclose(mine, its, atol=2e-5)
    model.close(), twin.close()


def test_a_score_is_the_distance_of_the_two_codes(context: Context) -> None:
    """Encoders that read off two pixels, a decoder that shows the first code: the score is a sum of absolute differences."""
    model = GANomaly(GANomalyConfig(DIGITS, **SMALL), context)
    model.G_E = lambda x, training: x[:, 0, :3, 0]
    model.G_D = lambda z, training: tf.tile(z[:, None, :1, None], (1, 16, 16, 1))  # the first number everywhere
    model.E = lambda x, training: x[:, 0, :3, 0]
    images = np.full((2, 16, 16, 1), 255, np.uint8)  # 1 everywhere
    images[1, 0, 1] = 0  # -1, which the decoder does not show
    scores, again = model.anomalies(images)
    np.testing.assert_allclose(scores, [0, 2], atol=1e-6)
    np.testing.assert_array_equal(again, 255)
    model.close()


def test_measures_are_those_of_the_held_out_pictures(context: Context) -> None:
    """The area under the curve by counting pairs: ties count one half."""
    model = GANomaly(GANomalyConfig(DIGITS, anomaly="3", held_out=0.05, **SMALL), context)
    images, anomalous = model.parts.measured()
    scores, again = model.anomalies(images)
    measured = model.evaluate()
    high, low = scores[anomalous][:, None], scores[~anomalous]
    assert measured["eval/auc"] == pytest.approx(np.mean((high > low) + 0.5 * (high == low)), abs=1e-9)
    off = np.abs(images.astype(float) - again).mean(axis=(1, 2, 3)) / 127.5
    assert measured["eval/auc_contextual"] == pytest.approx(roc_auc_score(anomalous, off), abs=1e-6)
    assert measured["eval/contextual"] == pytest.approx(off[~anomalous].mean(), rel=1e-5)
    assert measured["samples/anomalies"].shape == (16, 48, 16, 3)
    assert not (model.parts.train.labels == 3).any() and anomalous.sum() == 183
    model.close()


def test_without_a_class_left_out_nothing_is_found(context: Context) -> None:
    model = GANomaly(GANomalyConfig(DIGITS, anomaly="none", **SMALL), context)
    measured = model.evaluate()
    assert "eval/auc" not in measured and measured["eval/contextual"] > 0
    assert model.sheet(3).shape == (3, 48, 16, 3)
    model.close()


@pytest.mark.slow
def test_a_digit_left_out_of_training_is_found(context: Context) -> None:
    model = GANomaly(GANomalyConfig(), context)  # the digit 0 of mnist5k
    for _ in range(1_000):
        model.step()
    assert model.evaluate()["eval/auc"] > 0.8
    model.close()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"held_out": 1.0}, "held_out is 1; it must lie between 0 and 1"),
        ({"latent": 0}, "latent is 0"),
        ({"contextual": -1.0}, "contextual is -1; a weight is 0 or more"),
        ({"contextual": 0.0, "adversarial": 0.0}, "nothing teaches the decoder"),
        ({"data": DataConfig("ring")}, "data.source is 'ring'; ganomaly learns pictures"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        GANomalyConfig(**settings)


def test_data_that_are_drawn_anew_get_a_sentence(context: Context) -> None:
    with pytest.raises(UsageError, match="ganomaly needs a fixed set of pictures"):
        GANomaly(GANomalyConfig(DataConfig("stacked-digits"), **SMALL), context)
