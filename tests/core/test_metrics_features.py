"""The digit classifier that comes along: its weights, its accuracy, its protocol line; and the user's own model."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from core.errors import UsageError
from core.metrics.distances import Gaussian, frechet_distance
from core.metrics.features import CLASSIFIER, Extractor, clean_resize
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


def test_a_classifier_of_ones_own_tells_its_classes(tmp_path: Path) -> None:
    path, x = str(tmp_path / "mine.keras"), keras.Input((4, 4, 1))
    y = keras.layers.Dense(3, "softmax")(keras.layers.Flatten()(x))
    keras.Model(x, y).save(path)
    extractor = Extractor(path)
    features, logits = extractor.outputs(np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1), np.uint8))
    assert extractor.classes == 3
    np.testing.assert_allclose(np.exp(logits), features, rtol=1e-5)
    assert Extractor().classes == 10


def test_clean_resize_is_pillows_bicubic_in_floats() -> None:
    grey = np.arange(30, dtype=np.uint8).reshape(5, 6, 1) * 8
    resized = clean_resize(grey, 3, 4)
    assert resized.shape == (3, 4, 3) and resized.dtype == np.float32
    wanted = np.asarray(Image.fromarray(grey[..., 0].astype(np.float32)).resize((4, 3), Image.Resampling.BICUBIC))
    for channel in range(3):
        np.testing.assert_array_equal(resized[..., channel], wanted)
    assert (resized != np.round(resized)).any(), "nothing is rounded"
    step = np.zeros((8, 8, 3), np.uint8)
    step[:, 4:] = 255
    large = clean_resize(step, 32, 32)
    assert large.min() == 0 and large.max() == 255, "what overshoots is cut off"


def test_clean_resize_has_no_aliases() -> None:
    """Stripes of one pixel, 8 times smaller: a filter of fixed width would see black or white, an antialiased one grey."""
    stripes = np.zeros((64, 64, 1), np.uint8)
    stripes[:, ::2] = 255
    inner = clean_resize(stripes, 8, 8)[1:-1, 1:-1]
    np.testing.assert_allclose(inner, 127.5, atol=1)


@pytest.mark.slow
def test_inception_with_weights_from_a_file(tmp_path: Path) -> None:
    """Features are what its pooling layer gives, logits its output."""
    keras.utils.set_random_seed(0)
    whole = keras.applications.InceptionV3(weights=None, classifier_activation=None)
    path = tmp_path / "inception.weights.h5"
    whole.save_weights(path)
    extractor = Extractor(f"inception:{path}")
    assert extractor.classes == 1000 and extractor.shape == (299, 299, 3)
    assert "inception.weights.h5" in extractor.protocol and "Parmar" in extractor.protocol
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 40, 3), np.uint8)
    features, logits = extractor.outputs(images)
    x = np.stack([clean_resize(image, 299, 299) for image in images]) / 127.5 - 1
    assert x.min() >= -1 and x.max() <= 1
    pool = keras.Model(whole.input, [whole.get_layer("avg_pool").output, whole.output])
    expected, expected_logits = (np.asarray(y) for y in pool(x, training=False))
    assert features.shape == (2, 2048)
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(logits, expected_logits, rtol=1e-3, atol=1e-5)


def test_what_are_no_weights_of_inception(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="inception:PATH"):
        Extractor(f"inception:{tmp_path / 'none.h5'}")
    path = tmp_path / "other.weights.h5"
    path.write_text("x")
    with pytest.raises(UsageError, match=r"other\.weights\.h5' is no HDF5 file"):
        Extractor(f"inception:{path}")
    keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(2, 3)]).save_weights(path)
    with pytest.raises(UsageError, match=r"other\.weights\.h5' has no weights of Keras's InceptionV3: 2 arrays"):
        Extractor(f"inception:{path}")
