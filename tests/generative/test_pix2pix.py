"""`pix2pix`: its update against the paper's formulas, the U-Net, noise, what is measured, clear sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from core.errors import UsageError
from core.plugin import Context
from generative.data.settings import PairConfig
from generative.pix2pix.config import Pix2PixConfig
from generative.pix2pix.model import Pix2Pix, make_unet

GREY = PairConfig("grey", size=16)
SMALL: dict[str, Any] = {"batch": 2, "width": 2, "d_layers": 1, "eval_pictures": 8}
KEY = tf.constant([5, 0], tf.int64)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(seed=1, folder=tmp_path)


def weights(*models: keras.Model) -> list[np.ndarray]:
    return [np.array(v) for model in models for v in model.trainable_variables]


def test_d_tells_pairs_apart_patch_by_patch_and_g_fools_it_near_the_truth(context: Context) -> None:
    model, twin = (Pix2Pix(Pix2PixConfig(GREY, l1_weight=7.0, **SMALL), context) for _ in range(2))
    pair = model.stream.next()
    told = model._update(tf.constant(pair), KEY)

    x, y = (tf.constant(pair[..., part].astype(np.float32) / 127.5 - 1) for part in (slice(0, 1), slice(1, 4)))

    def D(y: tf.Tensor) -> tf.Tensor:  # a probability for each patch
        return tf.sigmoid(twin.D(tf.concat([x, y], axis=3), training=True))

    fake = twin.G([x, KEY], training=True)
    with tf.GradientTape() as tape:
        D_loss = -(tf.reduce_mean(tf.math.log(D(y))) + tf.reduce_mean(tf.math.log(1 - D(fake)))) / 2
    twin.D_optimizer.apply(tape.gradient(D_loss, twin.D.trainable_variables), twin.D.trainable_variables)
    with tf.GradientTape() as tape:
        fake = twin.G([x, KEY], training=True)
        distance = tf.reduce_mean(tf.abs(y - fake))
        loss = 7.0 * distance - tf.reduce_mean(tf.math.log(D(fake)))
    twin.G_optimizer.apply(tape.gradient(loss, twin.G.trainable_variables), twin.G.trainable_variables)
    np.testing.assert_allclose(told["loss/discriminator"], D_loss, rtol=1e-4)
    np.testing.assert_allclose(told["loss/l1"], distance, rtol=1e-4)
    np.testing.assert_allclose(told["loss/generator"], loss, rtol=1e-4)
    for mine, its in zip(weights(model.D, model.G), weights(twin.D, twin.G), strict=True):
        np.testing.assert_allclose(mine, its, atol=2e-5)
    model.close(), twin.close()


def test_without_a_discriminator_l1_alone_is_learned(context: Context) -> None:
    model = Pix2Pix(Pix2PixConfig(GREY, gan_weight=0.0, **SMALL), context)
    assert not hasattr(model, "D") and model.learns_with == ()
    told = model._update(tf.constant(model.stream.next()), KEY)
    assert set(told) == {"loss/l1", "loss/generator"}
    np.testing.assert_allclose(told["loss/generator"], 100 * told["loss/l1"], rtol=1e-5)
    assert set(model.state()) == {"G", "G_optimizer", "noise_seed", "clock", "stream"}
    model.close()


def test_the_unet_halves_down_to_a_pixel_and_sees_its_way_down() -> None:
    G = make_unet(64, 1, 3, 32, "batch", 0.5, seed=0)
    down, up = (
        [layer for layer in G.layers if isinstance(layer, kind)]
        for kind in (keras.layers.Conv2D, keras.layers.Conv2DTranspose)
    )
    assert [layer.filters for layer in down] == [32, 64, 128, 256, 256, 256]
    assert [layer.filters for layer in up] == [256, 256, 128, 64, 32, 3]
    assert [layer.output.shape[1] for layer in down] == [32, 16, 8, 4, 2, 1]
    assert [layer.kernel.shape[3] for layer in up] == [256, 512, 512, 256, 128, 64]  # twice what comes from below
    norms = [layer for layer in G.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == 4 + 5  # all but the first and the innermost; all but the last


def test_any_size_comes_back_as_large() -> None:
    for side in (16, 25, 30):
        assert make_unet(side, 3, 1, 2, "instance", 0.0, seed=0).output_shape == (None, side, side, 1)


def test_the_seed_is_the_noise_and_a_translation_depends_on_its_picture_alone(context: Context) -> None:
    model = Pix2Pix(Pix2PixConfig(GREY, **SMALL), context)
    for v in model.G.trainable_variables:
        v.assign(np.random.default_rng(0).normal(0, 0.3, v.shape))
    images = np.random.default_rng(1).integers(256, size=(70, 16, 16, 1)).astype(np.uint8)
    whole = model.translate(images, "colour", seed=3)
    assert whole.shape == (70, 16, 16, 3) and whole.dtype == np.uint8
    apart = np.abs(whole.astype(int) - model.translate(images[::-1], "colour", seed=3)[::-1])
    assert apart.max() <= 1
    assert np.abs(whole.astype(int) - model.translate(images, "colour", seed=4)).mean() > 1
    assert model.domains == ("colour",) and model.picture_shape == (16, 16, 1)
    model.close()


def test_translations_are_measured_beside_their_truth(context: Context) -> None:
    model = Pix2Pix(Pix2PixConfig(GREY, **SMALL), context)
    x, y = model.measured
    assert x.shape == (8, 16, 16, 1) and y.shape == (8, 16, 16, 3)
    shifted = np.where(y >= 128, y - 10, y + 10).astype(np.uint8)
    model.translate = lambda images, target, seed=0: shifted[: len(images)]
    measured = model.evaluate()
    assert measured["eval/psnr"] == pytest.approx(10 * np.log10(255**2 / 100))
    assert measured["eval/distance"] == measured["eval/frechet"] > 0
    sheet = measured["samples/translations"][:, ::4, ::4]  # shown with 64 pixels a side
    assert sheet.shape[1:] == (16, 3 * 16 + 2, 3)
    np.testing.assert_array_equal(sheet[0, :, 32:48], y[0])
    model.translate = lambda images, target, seed=0: y[: len(images)]
    assert model.evaluate()["eval/frechet"] == pytest.approx(0, abs=1e-3)
    model.close()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"data": PairConfig(size=8)}, "data.size is 8; the networks need 16 pixels or more"),
        ({"batch": 1}, "batch is 1, of which batch norm would be instance norm in training alone"),
        ({"d_layers": 5}, "d_layers is 5; it must lie between 0 and 4"),
        ({"dropout": 1.0}, r"dropout is 1; it must lie in \[0, 1\)"),
        ({"l1_weight": -1.0}, "l1_weight is -1; it must be 0 or more"),
        ({"l1_weight": 0.0, "gan_weight": 0.0}, "both 0; nothing would be learned"),
        ({"eval_pictures": 3}, "eval_pictures is 3; it must be at least 4"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        Pix2PixConfig(**settings)
