"""`stylegan`: its layers and its update against independent formulas, styles, truncation, sheets, measures, clear sentences."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from core.errors import UsageError
from core.optim.config import OptimizerConfig
from core.plugin import Context
from generative.data.settings import DataConfig
from generative.stylegan.config import StyleGANConfig
from generative.stylegan.model import StyleGAN
from generative.stylegan.networks import (
    AdaIN,
    Blur,
    EqualConv2D,
    EqualConvDown,
    EqualConvUp,
    EqualDense,
    NoiseAndBias,
    layer_sides,
)

DIGITS = DataConfig("digits", size=16)
SMALL: dict[str, Any] = {
    "batch": 4,
    "latent": 3,
    "width": 2,
    "mapping_layers": 2,
    "eval_samples": 12,
    "path_samples": 6,
    "ema": 0.0,
}
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One model, for what leaves no trace in it."""
    with StyleGAN(StyleGANConfig(DIGITS, **SMALL), Context(seed=1, folder=tmp_path_factory.mktemp("style"))) as model:
        for v in model.variables:  # away from the start, where noise and biases are 0
            v.assign(np.asarray(v) + np.random.default_rng(0).normal(0, 0.3, v.shape))
        yield model


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


# --- layers -----------------------------------------------------------------------------------------------------------


def test_weights_are_scaled_where_they_are_used() -> None:
    """y = x (W c) + b lr with c = lr gain / sqrt(inputs) and W of deviation 1 / lr: outputs of deviation gain for inputs of 1."""
    layer = EqualDense(400, 1.5, 0.01, seed=3)
    x = normal(200, 300)
    y = np.asarray(layer(x))
    W = np.asarray(layer.kernel)
    assert W.std() == pytest.approx(100, rel=0.02) and y.std() == pytest.approx(1.5, rel=0.05)
    layer.bias.assign(np.full(400, 7.0))
    np.testing.assert_allclose(layer(x), x @ W * (0.01 * 1.5 / 300**0.5) + 0.07, atol=1e-4)
    assert np.asarray(EqualConv2D(50, 3, 2**0.5, seed=3)(normal(4, 8, 8, 20)))[:, 1:-1, 1:-1].std() == pytest.approx(
        2**0.5, rel=0.1
    )


def test_one_convolution_does_the_work_of_two_layers() -> None:
    """Up: nearest neighbours, then 3x3. Down: 3x3, then the mean of 2x2 pixels. On odd sides up is cut."""
    x = normal(2, 5, 4, 3)
    for size in ((10, 8), (9, 8), (10, 7)):
        up = EqualConvUp(6, size, seed=1)
        y = up(x)
        larger = np.repeat(np.repeat(x, 2, axis=1), 2, axis=2)
        expected = tf.nn.conv2d(larger, up.kernel * (2 / 27) ** 0.5, 1, "SAME")  # gain sqrt(2) / sqrt(9 * 3)
        np.testing.assert_allclose(y[:, :-1, :-1], expected[:, : size[0] - 1, : size[1] - 1], atol=1e-5)
        assert up.compute_output_shape(x.shape) == tuple(y.shape) == (2, *size, 6)
    even = normal(2, 8, 6, 3)
    down = EqualConvDown(6, seed=1)
    y = down(even)
    whole = np.asarray(tf.nn.conv2d(even, down.kernel * (2 / 27) ** 0.5, 1, "SAME"))
    np.testing.assert_allclose(y, whole.reshape(2, 4, 2, 3, 2, 6).mean(axis=(2, 4)), atol=1e-5)
    assert down.compute_output_shape((None, 7, 5, 3)) == (None, 4, 3, 6)


def test_feature_maps_take_the_statistics_of_the_style() -> None:
    h, style = normal(3, 6, 5, 4) * 3 + 2, normal(3, 8)
    y = np.asarray(AdaIN()([h, style]))
    np.testing.assert_allclose(y.mean(axis=(1, 2)), style[:, 4:], atol=1e-4)
    np.testing.assert_allclose(y.std(axis=(1, 2)), np.abs(1 + style[:, :4]), atol=1e-4)
    m, s = h.mean(axis=(1, 2), keepdims=True), h.std(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(y, (1 + style[:, None, None, :4]) * (h - m) / s + style[:, None, None, 4:], atol=1e-4)


def test_noise_is_weighed_by_channel_and_a_blur_keeps_what_lies_inside() -> None:
    layer, h, noise = NoiseAndBias(weighted=True), normal(2, 3, 3, 2), normal(2, 3, 3, 1)
    np.testing.assert_allclose(layer([h, noise]), h)  # both from 0
    layer.strength.assign([0.5, -2.0]), layer.bias.assign([1.0, 3.0])
    np.testing.assert_allclose(layer([h, noise]), h + noise * [0.5, -2.0] + [1.0, 3.0], rtol=1e-5)
    point = np.zeros((1, 5, 5, 1), np.float32)
    point[0, 2, 2] = 16
    np.testing.assert_allclose(Blur()(point)[0, 1:4, 1:4, 0], [[1, 2, 1], [2, 4, 2], [1, 2, 1]])


def test_sides_and_parameters_of_the_layers(built: StyleGAN) -> None:
    assert layer_sides((28, 28, 1)) == [(4, 4), (4, 4), (7, 7), (7, 7), (14, 14), (14, 14), (28, 28), (28, 28)]
    assert built.layers == 6 and built.pixels == 2 * (16 + 64 + 256)
    styles, noise = normal(2, 6, 3), normal(2, built.pixels)
    x = np.asarray(built.g([styles, noise]))
    for change in range(6):  # every style and every layer's noise reaches the picture, each picture its own
        other = styles.copy()
        other[0, change] += 1
        changed = np.abs(built.g([other, noise]) - x).max(axis=(1, 2, 3))
        assert changed[0] > 1e-4 and changed[1] < 1e-6
    starts = np.cumsum([0, 16, 16, 64, 64, 256, 256])[:-1]
    for begin in starts:
        other = noise.copy()
        other[0, begin] += 3
        changed = np.abs(built.g([styles, other]) - x).max(axis=(1, 2, 3))
        assert changed[0] > 1e-4 and changed[1] < 1e-6


# --- the update -------------------------------------------------------------------------------------------------------


def test_the_update_is_that_of_the_formulas(tmp_path: Path) -> None:
    """Clock 4 of r1_every 2 has the penalty, twice; 5 has none. The penalty is worked out output by output."""
    settings = {
        **SMALL,
        "r1": 0.5,
        "r1_every": 2,
        "w_decay": 0.75,
        "mapping_lr": 1.0,
        "optimizer": OptimizerConfig("sgd", lr=0.1),
    }
    for clock in (4, 5):
        model, twin = (StyleGAN(StyleGANConfig(DIGITS, **settings), Context(1, tmp_path)) for _ in range(2))
        key = tf.constant([5, clock], tf.int64)
        x = tf.cast(model.stream.take(1)[0], tf.float32) / 127.5 - 1
        scalars = np.asarray(model._update(x, key))

        fold = tf.random.experimental.stateless_fold_in
        z, noise = tf.random.stateless_normal((8, 3), key), tf.random.stateless_normal((4, twin.pixels), fold(key, 1))

        mixing = fold(key, 2)

        with tf.GradientTape(persistent=True) as tape:
            with tf.GradientTape(persistent=True) as inner:
                inner.watch(x)
                each = tf.unstack(
                    twin.D(x)
                )  # examples share a standard deviation: every output depends on every picture
            gradient = tf.add_n([inner.gradient(output, x) for output in each])
            penalty = 2 * 0.5 / 2 * tf.reduce_mean(tf.reduce_sum(gradient**2, axis=(1, 2, 3))) if clock == 4 else 0.0
            real = tf.stack(each)
            D_loss = -tf.reduce_mean(tf.math.log_sigmoid(real)) - tf.reduce_mean(
                tf.math.log_sigmoid(-twin.D(twin.g([twin._mixed(twin.f(z), mixing), noise])))
            )
            total = D_loss + penalty
        w = np.asarray(twin.f(z))
        twin.D_optimizer.apply(tape.gradient(total, twin.D.trainable_variables), twin.D.trainable_variables)
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(tf.math.log_sigmoid(twin.D(twin.g([twin._mixed(twin.f(z), mixing), noise]))))
        twin.G_optimizer.apply(tape.gradient(loss, twin.variables), twin.variables)
        np.testing.assert_allclose(scalars[:3], [D_loss, loss, penalty], rtol=1e-3)
        assert (penalty > 0) == (clock == 4)
        for mine, its in zip(
            model.variables + model.D.trainable_variables, twin.variables + twin.D.trainable_variables, strict=True
        ):
            np.testing.assert_allclose(mine, its, rtol=1e-4, atol=5e-5)
        np.testing.assert_allclose(model.f.get_layer("mean").mean, 0.25 * w.mean(axis=0), rtol=1e-4)
        model.close(), twin.close()


def test_styles_of_two_pictures_are_mixed_from_a_layer_on(built: StyleGAN, monkeypatch: pytest.MonkeyPatch) -> None:
    """A share `mixing` has the second w from a layer 1 ... 5 on, each as likely; the others have the first in all six."""
    monkeypatch.setattr(built, "config", replace(built.config, batch=4000, mixing=0.75))
    w = tf.concat([tf.zeros((4000, 3)), tf.ones((4000, 3))], axis=0)
    styles = np.asarray(built._mixed(w, tf.constant([3, 0], tf.int64)))
    assert styles.shape == (4000, 6, 3) and (styles[..., :1] == styles).all()
    assert (np.diff(styles[..., 0], axis=1) >= 0).all() and (styles[:, 0] == 0).all()
    begin = 6 - styles[..., 0].sum(axis=1).astype(int)  # the first layer with the second w; 6 for none
    shares = np.bincount(begin, minlength=7) / 4000
    np.testing.assert_allclose(shares, [0, 0.15, 0.15, 0.15, 0.15, 0.15, 0.25], atol=0.03)


# --- samples ----------------------------------------------------------------------------------------------------------


def test_truncation_pulls_towards_the_mean_in_small_layers(built: StyleGAN, monkeypatch: pytest.MonkeyPatch) -> None:
    mean = built.f.get_layer("mean").mean
    mean.assign([1.0, 2.0, 3.0])
    w = np.array([[3.0, 2.0, 1.0], [0.0, 0.0, 0.0]], np.float32)
    monkeypatch.setattr(built, "truncated", tf.constant([True] * 4 + [False] * 2))
    styles = np.asarray(built._styles(w, tf.constant([0.5, -1.0])))
    np.testing.assert_allclose(styles[0, :4], [[2, 2, 2]] * 4)
    np.testing.assert_allclose(styles[1, :4], [[2, 4, 6]] * 4)
    np.testing.assert_allclose(styles[:, 4:], np.repeat(w[:, None], 2, axis=1))
    mean.assign([0.0, 0.0, 0.0])


def test_truncation_reaches_layers_of_up_to_32_pixels(tmp_path: Path) -> None:
    images = np.zeros((8, 64, 33, 1), np.uint8)
    np.savez(tmp_path / "tall.npz", images=images)
    model = StyleGAN(StyleGANConfig(DataConfig(f"npz:{tmp_path / 'tall.npz'}"), **SMALL), Context(1, tmp_path))
    assert layer_sides(model.data.shape)[-4:] == [(32, 17), (32, 17), (64, 33), (64, 33)]
    assert model.truncated.numpy().tolist() == [True] * (model.layers - 2) + [False] * 2
    assert model.sample(2).shape == (2, 64, 33, 1)
    model.close()


def test_a_sheet_has_the_coarse_the_middle_and_the_fine_styles_of_another_picture(built: StyleGAN) -> None:
    """Three columns A, three rows B: the top left corner is blank; each cell is g of the styles that its row and column say."""
    sheet = built.mixing_sheet(16, 5)
    assert sheet.shape == (1, 64, 64, 1)
    cells = sheet[0].reshape(4, 16, 4, 16, 1).swapaxes(1, 2).astype(int)
    assert (cells[0, 0] == 255).all()
    w = np.asarray(built.w(6, 5))
    A, B = w[:3], w[3:]

    def drawn(styles: np.ndarray) -> np.ndarray:
        noise = tf.random.stateless_normal((1, built.pixels), [5, -2])
        return np.clip(np.round((np.asarray(built.g([tf.constant(styles[None]), noise])[0]) + 1) * 127.5), 0, 255)

    for i in range(3):
        np.testing.assert_allclose(cells[0, 1 + i], drawn(np.repeat(A[i : i + 1], 6, axis=0)), atol=1)
        np.testing.assert_allclose(cells[1 + i, 0], drawn(np.repeat(B[i : i + 1], 6, axis=0)), atol=1)
        styles = np.repeat(A[1:2], 6, axis=0)
        styles[2 * i : 2 * i + 2] = B[i]
        np.testing.assert_allclose(cells[1 + i, 2], drawn(styles), atol=1)


def test_a_sweep_begins_with_the_picture_and_passes_the_mean(built: StyleGAN) -> None:
    cells = built.truncation_sheet(12, 5)[0].reshape(2, 16, 6, 16, 1).swapaxes(1, 2).astype(int)
    np.testing.assert_allclose(cells[0, 3], cells[1, 3], atol=1)  # psi 0: the mean for every w
    whole = built.drawn(built._untouched(built.w(2, 5)), 5, same_noise=True)
    np.testing.assert_allclose(cells[:, 0], np.clip((whole + 1) * 127.5, 0, 255), atol=1)
    assert np.abs(cells[:, 0] - cells[:, 5]).max() > 10


def test_samples_have_noise_of_their_own(built: StyleGAN) -> None:
    styles = np.repeat(normal(1, 6, 3), 3, axis=0)
    alone, same = built.drawn(styles, 1), built.drawn(styles, 1, same_noise=True)
    assert np.abs(alone[0] - alone[1]).max() > 1e-3
    np.testing.assert_allclose(same[0], same[1], atol=1e-5)
    np.testing.assert_array_equal(built.sample(3, 2), built.sample(3, 2))


# --- measures ---------------------------------------------------------------------------------------------------------


def test_a_path_length_is_the_squared_speed_of_the_features(built: StyleGAN, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures that are their w, features that are the pictures: between w' and w'' the length is (127.5 |w'' - w'|)^2."""
    monkeypatch.setattr(type(built), "drawn", lambda self, styles, seed, same_noise=False: np.asarray(styles[:, 0]))
    monkeypatch.setattr(built.evaluation, "extractor", lambda x: x)
    z = normal(10, 3)
    a, b = np.split(np.asarray(built._map(z), np.float64), 2)
    found = built._path_length(built._between_w(z), np.linspace(0, 0.9, 5))
    assert found == pytest.approx(((b - a) ** 2).sum(axis=1).mean() * 127.5**2, rel=0.02)


def test_measures_are_there_for_digits_and_for_other_pictures(built: StyleGAN, tmp_path: Path) -> None:
    measured = built.evaluate()
    assert measured["eval/path_length_z"] > 0 and measured["eval/path_length_w"] > 0
    assert measured["eval/separability_w"] >= 1 and "is it a k" in measured["eval/protocol"]
    assert measured["samples/mixing"].dtype == np.uint8 and measured["samples/truncation"].shape == (1, 128, 96, 1)
    images = np.random.default_rng(0).integers(256, size=(30, 16, 16, 3)).astype(np.uint8)
    np.savez(tmp_path / "mine.npz", images=images)
    with StyleGAN(StyleGANConfig(DataConfig(f"npz:{tmp_path / 'mine.npz'}"), **SMALL), Context(1, tmp_path)) as model:
        other = model.evaluate()
    assert other["eval/path_length_w"] > 0 and "eval/separability_w" not in other
    assert other["samples/mixing"].shape[-1] == 3


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"batch": 6}, "batch is 6; 4 examples share a standard deviation, so it must be a multiple of 4"),
        ({"mixing": 1.5}, r"mixing is 1.5; it must lie in \[0, 1\]"),
        ({"mapping_lr": 0.0}, "mapping_lr is 0; it must be above 0"),
        ({"r1": -1.0}, "r1 is -1; it must be 0 or more"),
        ({"w_decay": 1.0}, r"w_decay is 1.0; it must lie in \[0, 1\)"),
        ({"path_samples": 2}, "path_samples is 2; it must be at least 4"),
        ({"data": DataConfig("ring")}, "data.source is 'ring'; stylegan learns pictures"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        StyleGANConfig(**settings)


def test_pictures_that_are_too_small_get_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has 8 pixels a side; the networks need 16, set data.size"):
        StyleGAN(StyleGANConfig(DataConfig("digits"), **SMALL), Context(1, tmp_path))
