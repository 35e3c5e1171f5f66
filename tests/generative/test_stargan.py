from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from core.errors import UsageError
from core.optim.config import OptimizerConfig
from core.plugin import Context
from experiments.launcher.catalogue import catalogue
from experiments.testing import tiny
from generative.data.built_in.digits import STYLES, styled
from generative.data.settings import DataConfig
from generative.data.sources import open_data
from generative.stargan.config import StarGANConfig
from generative.stargan.measures import Measures, brightest
from generative.stargan.model import TAGS, StarGAN, shuffled

KEY = tf.constant([5, 6], tf.int64)


def small(**settings: object) -> StarGANConfig:
    return replace(tiny(catalogue().plugins["stargan"]), **settings)


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> StarGAN:
    """One whose weights hardly move."""
    config = small(critic_steps=1, optimizer=OptimizerConfig("sgd", lr=1e-30))
    return StarGAN(config, Context(seed=1, folder=tmp_path_factory.mktemp("run")))


def test_styles_of_a_digit() -> None:
    line = np.zeros((28, 28), np.uint8)
    line[5:20, 12:15] = 200  # a stroke of three pixels
    red, green, _, thick, thin = (styled(line, style) for style in STYLES)
    assert red[10, 13].tolist() == [200, 50, 50] and green[10, 13].tolist() == [50, 200, 50]
    assert red[10, 11].max() == 0
    assert (thick[10, :, 0] > 0).sum() == 5 and thick[10, 11].tolist() == [200] * 3
    assert (thin[10, :, 0] > 100).sum() == 1 and thin[10, 13].min() > 150


def test_the_source_has_a_name_for_each_label() -> None:
    data = open_data(DataConfig("styled-digits"))
    assert data.words == STYLES and data.digits == 1 and data.shape == (28, 28, 3)
    np.testing.assert_array_equal(np.bincount(data.labels), [1000] * 5)
    assert data.split(10)[1].words == STYLES
    colours = data.images[data.labels == 1].reshape(-1, 3)
    assert (colours[:, 1] >= colours[:, 0]).all() and colours[:, 1].max() == 255


def test_folders_are_classes(tmp_path: Path) -> None:
    for name, grey in (("b/x.png", 10), ("a/y.png", 20), ("b/deeper/z.png", 30)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), grey).save(tmp_path / name)
    config = DataConfig(f"classes:{tmp_path}", size=8, channels=1, cache="no")
    data = open_data(config)
    found = {
        int(image[0, 0, 0]): data.words[label] for image, label in zip(data.reference(3), data.labels, strict=True)
    }
    assert found == {10: "b", 20: "a", 30: "b"}
    Image.new("L", (8, 8)).save(tmp_path / "lost.png")
    with pytest.raises(UsageError, match=r"lost.png lies in no class: each picture needs a folder, CLASS/NAME"):
        open_data(config)


def test_the_losses_of_an_update(plugin: StarGAN) -> None:
    """Each by its formula in numpy, from what the networks say."""
    rng = np.random.default_rng(0)
    images, c = rng.integers(256, size=(1, 4, 16, 16, 3)).astype(np.uint8), np.array([[0, 1, 4, 2]])
    x = images[0] / 127.5 - 1
    told = dict(zip(TAGS, plugin._update(tf.constant(images), tf.constant(c), KEY).numpy(), strict=True))
    asked = shuffled(tf.constant(c[0]), tf.random.experimental.stateless_fold_in(KEY, 0)).numpy()

    def generated(x: np.ndarray, c: np.ndarray) -> np.ndarray:
        maps = np.broadcast_to(np.eye(5)[c][:, None, None], (4, 16, 16, 5))
        return plugin.G(tf.constant(np.concatenate([x, maps], axis=3), tf.float32)).numpy()

    fake = generated(x, asked)
    (real_out, real_domain), (fake_out, fake_domain) = (
        [np.asarray(part) for part in plugin.D(tf.constant(pictures, tf.float32))] for pictures in (x, fake)
    )

    def nll(logits: np.ndarray, c: np.ndarray) -> float:
        return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(4), c]))

    cycle = np.abs(generated(fake, c[0]) - x).mean()
    assert real_out.shape == (4, 4, 4) and real_domain.shape == (4, 5)
    np.testing.assert_allclose(told["critic/wasserstein"], real_out.mean() - fake_out.mean(), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(told["loss/domain_real"], nll(real_domain, c[0]), rtol=1e-4)
    np.testing.assert_allclose(told["loss/domain_fake"], nll(fake_domain, asked), rtol=1e-4)
    np.testing.assert_allclose(told["loss/cycle"], cycle, rtol=1e-4)
    expected = -fake_out.mean() + 1.0 * nll(fake_domain, asked) + 10.0 * cycle
    np.testing.assert_allclose(told["loss/generator"], expected, rtol=1e-4)
    assert 0 < told["loss/penalty"] < 10


def test_domains_asked_for_are_those_there_are() -> None:
    c = tf.range(50)
    np.testing.assert_array_equal(np.sort(shuffled(c, KEY)), c)
    assert not np.array_equal(shuffled(c, KEY), c)


def test_translations_and_their_sheet(plugin: StarGAN) -> None:
    images = plugin.held_out.rows_at(np.arange(3))
    assert tuple(plugin.domains) == STYLES and plugin.picture_shape == (16, 16, 3)
    blue = plugin.translate(images, "blue")
    assert blue.shape == images.shape and blue.dtype == np.uint8
    assert not np.array_equal(blue, plugin.translate(images, "thin"))
    np.testing.assert_array_equal(plugin.translate(images[1:], "blue"), blue[1:])
    sheet = plugin.sheet(3)
    assert sheet.shape == (3, 4 * 16, 4 * (6 * 16 + 2), 3)  # enlarged, to be seen
    np.testing.assert_array_equal(sheet[:, ::4, ::4][:, :, 48:64], blue)


def test_measures_of_the_best_and_of_no_translation() -> None:
    data = open_data(DataConfig("styled-digits"))
    grey = open_data(DataConfig("mnist5k")).images[..., 0]
    train, held_out = data.split(500)
    measures = Measures(train, held_out, np.arange(5), STYLES, 100)
    assert measures.probe.protocol.endswith("600 pictures")
    nothing = measures(lambda images, domain: images)
    assert nothing["eval/same_digit"] == 1 and nothing["eval/taken_real"] > 0.9
    assert nothing["eval/taken"] == nothing["eval/right"] < 0.05
    rows = held_out.rows[held_out.spread(100)]
    labels = data.labels[rows]

    def best(images: np.ndarray, domain: str) -> np.ndarray:
        return np.stack([styled(grey[row], domain) for row in rows[labels != STYLES.index(domain)]])

    measured = measures(best)
    assert measured["eval/taken"] > 0.9 and measured["eval/same_digit"] > 0.9
    assert "samples/confusion" in measured


def test_a_red_digit_is_as_bright_as_a_white_one() -> None:
    assert brightest(np.array([[[[200, 50, 50], [9, 9, 9]]]], np.uint8)).tolist() == [[[[200], [9]]]]


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    for i, (settings, sentence) in enumerate(
        (
            ({"d_layers": 9}, "d_layers is 9; pictures of 16x16 can be halved 4 times"),
            ({"data": DataConfig("lfw-faces", size=16)}, "whose pictures have 0 labels; stargan needs at least 2"),
            ({"held_out": 5_000}, "held_out is 5000; it must be less than the 5,000 pictures"),
        )
    ):
        with pytest.raises(UsageError, match=sentence):
            StarGAN(small(**settings), Context(seed=1, folder=tmp_path / str(i)))
    with pytest.raises(UsageError, match=r"data.source is 'ring'; stargan translates labelled pictures"):
        small(data=DataConfig("ring"))
    with pytest.raises(UsageError, match="gp is 0; it must be above 0"):
        small(gp=0.0)
