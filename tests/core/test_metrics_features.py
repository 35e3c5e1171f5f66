"""The digit classifier that comes along: its weights, its accuracy, its protocol line; and the user's own model."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from core.errors import UsageError
from core.metrics.distances import Gaussian, frechet_distance
from core.metrics.features import CLASSIFIER, Extractor
from generative.data.settings import DataConfig
from generative.data.sources import open_data


@pytest.fixture(scope="module")
def mnist():
    data = open_data(DataConfig("mnist5k"))
    return data.images, data.labels


def test_weights_are_small_and_named_by_their_checksum() -> None:
    assert CLASSIFIER.stat().st_size <= 2**20
    assert hashlib.sha256(CLASSIFIER.read_bytes()).hexdigest()[:12] in Extractor().protocol


def test_the_classifier_knows_digits_it_was_not_trained_on(mnist) -> None:
    images, labels = mnist
    held_out = np.concatenate([np.flatnonzero(labels == digit)[-100:] for digit in range(10)])
    assert np.mean(Extractor().classify(images[held_out]) == labels[held_out]) > 0.97


def test_distance_grows_with_damage(mnist) -> None:
    images, _ = mnist
    extractor, rng = Extractor(), np.random.default_rng(0)
    halves = rng.permutation(len(images))
    real, other = images[halves[:2500]], images[halves[2500:]]

    def distance(x: np.ndarray) -> float:
        return frechet_distance(Gaussian.of(extractor(real)), Gaussian.of(extractor(x)))

    noisy = np.clip(other + rng.normal(0, 60, other.shape), 0, 255).astype(np.uint8)
    one_digit = np.repeat(other[:1], 2500, axis=0)
    assert distance(other) < 0.1 * distance(noisy) < 0.1 * distance(one_digit)


def test_pictures_of_other_sizes_and_colours(mnist) -> None:
    images, _ = mnist
    extractor = Extractor()
    np.testing.assert_allclose(extractor(np.repeat(images[:5], 3, axis=3)), extractor(images[:5]), rtol=1e-3, atol=1e-3)
    large = np.kron(images[:5], np.ones((1, 2, 2, 1), np.uint8))
    assert extractor(large).shape == (5, 64)
    assert (extractor.classify(large) == extractor.classify(images[:5])).all()


def test_a_model_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.keras"
    keras.Sequential([keras.Input((4, 4, 3)), keras.layers.AveragePooling2D(2)]).save(path)
    extractor = Extractor(str(path))
    images = np.full((3, 4, 4, 1), 51, np.uint8)
    np.testing.assert_allclose(extractor(images), np.full((3, 12), 0.2), rtol=1e-5)
    assert "mine.keras" in extractor.protocol


def test_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="path of a"):
        Extractor(str(tmp_path / "none.keras"))
    (tmp_path / "bad.keras").write_text("x")
    with pytest.raises(UsageError, match="no Keras model"):
        Extractor(str(tmp_path / "bad.keras"))


def test_damaged_and_foreign_files_are_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "mine.keras"
    keras.Sequential([keras.Input((4, 4, 3)), keras.layers.AveragePooling2D(2)]).save(path)
    whole = path.read_bytes()
    for damaged in (whole[:200], whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(UsageError, match=r"mine\.keras' is no Keras model"):
            Extractor(str(path))
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", "{}")
    with pytest.raises(UsageError, match=r"mine\.keras' is no Keras model"):
        Extractor(str(path))


def test_a_model_with_several_outputs_is_refused(tmp_path: Path) -> None:
    """Of two outputs the first picture's features would be those of another picture."""
    path, x = str(tmp_path / "two.keras"), keras.Input((4, 4, 3))
    y = keras.layers.GlobalAveragePooling2D()(x)
    for outputs in ([y, x], {"features": y, "logits": y}):
        keras.Model(x, outputs).save(path)
        with pytest.raises(UsageError, match=r"two\.keras' has 2 outputs; it must have one"):
            Extractor(path)


@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built")
def test_models_that_do_not_take_pictures(tmp_path: Path) -> None:
    path = tmp_path / "mine.keras"
    flat, other = keras.Input((784,)), keras.Input((4, 4, 3))
    for model, wants in (
        (keras.Model(flat, flat), r"wants \(None, 784\); it must take one batch of pictures"),
        (keras.Model([flat, other], [flat, other]), r"wants \[.*\]; it must take one batch of pictures"),
        (keras.Sequential([keras.Input((None, 4, 3)), keras.layers.ReLU()]), "must say a size and 1 or 3 channels"),
        (keras.Sequential([keras.Input((4, 4, 2)), keras.layers.ReLU()]), "must say a size and 1 or 3 channels"),
        (keras.Sequential([keras.layers.ReLU()]), "wants None"),
    ):
        model.save(path)
        with pytest.raises(UsageError, match=wants):
            Extractor(str(path))
