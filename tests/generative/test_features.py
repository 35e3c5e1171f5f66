"""Feature extractors: views, networks for any size, updates, learning on small fakes, and the file that GANs compare by."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from core.errors import UsageError
from core.metrics.features import Extractor
from core.optim.config import OptimizerConfig
from core.plugin import Context
from experiments.launcher.catalogue import catalogue
from experiments.testing import check_contract
from generative.data.settings import DataConfig
from generative.features.config import FeaturesConfig, ViewConfig
from generative.features.measures import dimensions, plane, scatter, thumbnails
from generative.features.model import Features
from generative.features.networks import levels, make_body, make_decoder
from generative.features.views import affine, views
from tests.conftest import only_run

STILL = ViewConfig(shift=0, rotate=0, zoom=0, shear=0, light=0, colour=0)
SMALL: dict[str, Any] = {"features": 8, "width": 4, "hidden": 32, "batch": 32}
KEY = tf.constant([1, 0], tf.int64)


def stripes(count: int = 240) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures [N, 16, 16, 1] of stripes in four directions, of any place, width and strength, and the directions [N]."""
    rng = np.random.default_rng(0)
    directions = rng.integers(4, size=count)
    y, x = np.mgrid[:16, :16]
    phase, period, strength = rng.uniform(0, 6.3, count), rng.uniform(4, 6, count), rng.uniform(60, 120, count)
    along = np.cos(directions * np.pi / 4)[:, None, None] * x + np.sin(directions * np.pi / 4)[:, None, None] * y
    waves = np.sin(2 * np.pi * along / period[:, None, None] + phase[:, None, None])
    pictures = 128 + strength[:, None, None] * waves + rng.normal(0, 10, (count, 16, 16))
    return np.clip(pictures, 0, 255).astype(np.uint8)[..., None], directions


@pytest.fixture
def labelled(tmp_path: Path) -> DataConfig:
    images, labels = stripes()
    np.savez(tmp_path / "stripes.npz", images=images, labels=10 * labels)  # labels need not be 0, 1, 2, ...
    return DataConfig(f"npz:{tmp_path / 'stripes.npz'}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "pictures"
    path.mkdir()
    for i, image in enumerate(stripes(60)[0]):
        Image.fromarray(np.repeat(image, 3, axis=2)).save(path / f"{i:02d}.png")
    return path


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(seed=1, folder=tmp_path / "files")


# --- views --------------------------------------------------------------------------------------------------------------


def pictures(*shape: int) -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).random(shape).astype(np.float32))


def test_a_view_without_changes_is_the_picture() -> None:
    x = pictures(3, 12, 20, 3)
    np.testing.assert_allclose(views(x, KEY, STILL), x, atol=1e-6)


def test_the_key_alone_determines_a_view() -> None:
    x = pictures(4, 16, 16, 3)
    once, again, other = (
        np.asarray(views(x, tf.constant([1, at], tf.int64), ViewConfig(erase=0.5), True)) for at in (0, 0, 1)
    )
    np.testing.assert_array_equal(once, again)
    assert np.abs(once - other).max() > 0.1
    assert once.min() >= 0 and once.max() <= 1


def test_mirrored_pictures_are_half_of_them() -> None:
    x = pictures(200, 4, 6, 1)
    seen = np.asarray(views(x, KEY, STILL, mirror=True))
    same = np.abs(seen - x).max(axis=(1, 2, 3)) < 1e-5
    np.testing.assert_allclose(seen[~same], x[~same][:, :, ::-1], atol=1e-5)
    assert 70 < same.sum() < 130


def test_maps_of_places_by_hand() -> None:
    """A quarter turn leads right to down, a zoom of 2 to half as far from the middle, then comes the shift."""

    def where(x: float, y: float, **changes: float) -> list[float]:
        values = {"angle": 0.0, "scale": 1.0, "shear": 0.0, "flip": 1.0} | changes
        arguments = [tf.constant([values[name]]) for name in ("angle", "scale", "shear", "flip")]
        shift = tf.constant([[values.get("down", 0.0), values.get("across", 0.0)]])
        a, b, c, d, e, f, *rest = np.asarray(affine(*arguments, shift, 5, 9))[0]
        assert rest == [0, 0]
        return [float(a * x + b * y + c), float(d * x + e * y + f)]

    # the middle is (4, 2)
    assert where(6, 2) == pytest.approx([6, 2])
    assert where(6, 2, angle=np.pi / 2) == pytest.approx([4, 4], abs=1e-5)
    assert where(6, 2, scale=2.0) == pytest.approx([5, 2])
    assert where(6, 2, flip=-1.0) == pytest.approx([2, 2])
    assert where(4, 3, shear=0.5) == pytest.approx([4.5, 3])
    assert where(6, 2, angle=np.pi / 2, down=1.0, across=-1.0) == pytest.approx([3, 5], abs=1e-5)


def test_light_and_colour_by_their_limits() -> None:
    x = tf.fill((300, 4, 4, 3), 0.5)
    light = np.asarray(views(x, KEY, replace(STILL, light=0.2)))
    assert 0.3 <= light.min() < 0.32 and 0.68 < light.max() <= 0.7  # of one grey only brightness can be seen
    assert np.ptp(light, axis=3).max() < 1e-6
    colour = np.asarray(views(x, KEY, replace(STILL, colour=0.2)))
    assert 0.4 <= colour.min() < 0.41 and 0.59 < colour.max() <= 0.6
    assert np.ptp(colour, axis=3).max() > 0.1


def test_erased_squares_are_grey_and_no_larger_than_asked() -> None:
    seen = np.asarray(views(tf.zeros((200, 20, 20, 1)), KEY, replace(STILL, erase=0.5)))[..., 0]
    assert set(np.unique(seen)) == {0.0, 0.5}
    rows, columns = (seen > 0).any(axis=2).sum(axis=1), (seen > 0).any(axis=1).sum(axis=1)
    np.testing.assert_array_equal((seen > 0).sum(axis=(1, 2)), rows * columns)  # one rectangle each
    assert 9 <= rows.max() <= 10 and 9 <= columns.max() <= 10


# --- networks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["cnn", "mlp"])
@pytest.mark.parametrize("shape", [(8, 8, 1), (16, 16, 1), (28, 28, 1), (48, 160, 3), (67, 33, 3), (128, 128, 3)])
def test_bodies_and_decoders_for_any_size(shape: tuple[int, ...], network: Any) -> None:
    config = FeaturesConfig(network=network, features=5, width=2, hidden=6)
    body, decoder = make_body(shape, config, 1, unit=False), make_decoder(shape, config, 1)
    x = pictures(2, *shape)
    f = body(x)
    assert f.shape == (2, 5) and decoder(f).shape == (2, *shape)
    assert all(type(layer).__module__.startswith("keras.") for layer in body.layers)  # read without this package
    if network == "cnn":
        filters = [layer.filters for layer in body.layers if isinstance(layer, keras.layers.Conv2D)]
        assert filters == [min(2 * 2**level, 16) for level in range(len(levels(shape)) - 1)]


def test_on_the_unit_sphere() -> None:
    f = make_body((16, 16, 1), FeaturesConfig(width=2), 1, unit=True)(pictures(3, 16, 16, 1))
    np.testing.assert_allclose(np.linalg.norm(f, axis=1), 1, rtol=1e-5)


# --- measures and pictures of them ------------------------------------------------------------------------------------


def test_dimensions_by_hand() -> None:
    square = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    assert dimensions(square) == pytest.approx(2)
    assert dimensions(square * [1, 0]) == pytest.approx(1)
    assert dimensions(square * [2, 1] + 7) == pytest.approx(25 / 17)  # variances 4 : 1
    assert dimensions(np.ones((4, 3))) == 0


def test_the_plane_is_that_of_most_variance() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(500, 4)) * [0.1, 3.0, 0.2, 1.0] + 5
    origin, axes = plane(features)
    np.testing.assert_allclose(origin, features.mean(axis=0))
    np.testing.assert_allclose(axes, np.eye(4)[:, [1, 3]], atol=0.1)
    of_two = plane(features[:, :2])
    np.testing.assert_array_equal(of_two[0], 0)
    np.testing.assert_array_equal(of_two[1], np.eye(2))
    assert plane(features[:, :1])[1].tolist() == [[1, 0]] and plane(features[:1])[1].shape == (4, 2)


def test_pictures_of_the_plane() -> None:
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(60, 2)), rng.integers(12, size=60)
    drawn = scatter(points, labels, 20)
    assert (
        drawn.dtype == np.uint8 and drawn.shape == (900, 900, 3) and len(np.unique(drawn.reshape(-1, 3), axis=0)) > 12
    )
    assert scatter(points, np.zeros(60, int), 20).shape == drawn.shape
    images = np.full((3, 10, 20, 1), 7, np.uint8)
    shown = thumbnails(np.array([[0.0, 0.0], [1.0, 1.0], [0.001, 0.0]]), images)
    assert shown.shape == (900, 900, 1) and (shown == 7).sum() == 2 * 200  # the third would lie on the first
    assert (shown[:450, 450:] == 7).sum() == 200  # up and to the right
    assert thumbnails(np.zeros((1, 2)), np.zeros((1, 256, 64, 3), np.uint8)).min() == 0


# --- the model --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "siamese"},
        {"method": "siamese", "together": "labels", "network": "mlp"},
        {"method": "triplet"},
        {"method": "triplet", "together": "labels", "batch": 2},
        {"method": "autoencoder"},
        {"method": "autoencoder", "network": "mlp"},
    ],
    ids=str,
)
def test_every_method_keeps_the_contract(settings: dict[str, Any], tmp_path: Path) -> None:
    """`labels` is the plugin's own entry."""
    spec = catalogue().plugins["features"]
    check_contract(replace(spec, tiny={**spec.tiny, **settings}), tmp_path)


@pytest.mark.parametrize(
    "settings", [{}, {"method": "siamese", "together": "labels"}, {"method": "triplet", "together": "labels"}], ids=str
)
def test_labels_are_learned(settings: dict[str, Any], labelled: DataConfig, context: Context) -> None:
    """Stripes of one direction, whose pixels have nothing in common, become neighbours."""
    config = FeaturesConfig(labelled, held_out=0.2, views=replace(STILL, shift=0.1, light=0.1), **SMALL, **settings)
    with Features(config, context) as model:
        before = model.evaluate()["eval/same_label"]
        for _ in range(150):
            model.step()
        after = model.evaluate()["eval/same_label"]
    assert before < 0.85 and after >= 0.95, (before, after)


@pytest.mark.parametrize("method", [pytest.param("siamese", marks=pytest.mark.slow), "triplet"])
def test_views_are_learned(method: Any, tmp_path: Path, context: Context) -> None:
    """Blotches are known again, shifted and in another light, of which the first features know a part only."""
    coarse = np.random.default_rng(0).integers(256, size=(240, 4, 4, 1)).astype(np.uint8)
    np.savez(tmp_path / "blotches.npz", images=coarse.repeat(4, axis=1).repeat(4, axis=2))
    data, changes = DataConfig(f"npz:{tmp_path / 'blotches.npz'}"), replace(STILL, shift=0.15, rotate=15, light=0.4)
    fast = OptimizerConfig(lr=5e-3)
    config = FeaturesConfig(data, method=method, held_out=0.2, views=changes, optimizer=fast, **SMALL)
    with Features(config, context) as model:
        before = model.evaluate()
        for _ in range(200):
            model.step()
        after = model.evaluate()
    assert before["eval/nearest"] == before["eval/same_picture"]  # there are no labels
    assert after["eval/same_picture"] >= before["eval/same_picture"] + 0.15, (before["eval/same_picture"], after)


def test_an_autoencoder_learns_to_reconstruct(context: Context) -> None:
    fast = OptimizerConfig(lr=1e-2)
    config = FeaturesConfig(
        DataConfig("digits"), method="autoencoder", views=STILL, network="mlp", optimizer=fast, **SMALL
    )
    with Features(config, context) as model:
        for _ in range(200):
            loss = float(model.step()["loss/total"])
        drawn = model.reconstructions(100).astype(float) / 255
        images = model.test.reference(100) / 255
    np.testing.assert_array_equal(drawn[:, :8], images)
    assert loss < 0.5 * images.var() and np.square(drawn[:, 8:] - images).mean() < 0.5 * images.var()


def test_what_belongs_together_has_one_label(labelled: DataConfig, context: Context) -> None:
    with Features(FeaturesConfig(labelled, method="triplet", together="labels", **SMALL), context) as model:
        x, other, y = model.stream.next()
        labels = {
            image.tobytes(): label
            for image, label in zip(model.train.rows_at(np.arange(216)), model.train.labels, strict=True)
        }
    of_x, of_other = ([labels[image.tobytes()] for image in batch] for batch in (x, other))
    assert of_x == of_other == (10 * y).tolist() and not np.array_equal(x, other)


def test_triplets_of_one_identity_have_no_loss(labelled: DataConfig, context: Context) -> None:
    with Features(FeaturesConfig(labelled, method="triplet", **SMALL), context) as model:
        f = tf.math.l2_normalize(pictures(3, 8), axis=1)
        assert [float(v) for v in model._of_triplets(f, f[::-1], tf.constant([5, 5, 5]))] == [0, 0]
        loss, violations = model._of_triplets(f, f, tf.constant([5, 6, 7]))  # each its own positive
    apart = np.sort(np.square(np.asarray(f)[:, None] - np.asarray(f)).sum(axis=2), axis=1)[:, 1]  # to the nearest other
    assert float(loss) == pytest.approx(np.maximum(0, 0.2 - apart).mean(), abs=1e-6)
    assert float(violations) == pytest.approx((apart < 0.2).mean())


def test_every_anchor_is_paired_with_the_whole_batch(labelled: DataConfig, context: Context) -> None:
    with Features(FeaturesConfig(labelled, method="siamese", margin=2.0, **SMALL), context) as model:
        f = tf.constant([[0.0] * 8, [1.0] + [0.0] * 7, [0.0] * 8])
        others = tf.constant([[0.5] + [0.0] * 7, [1.0] + [0.0] * 7, [0.0] * 8])
        total, together, apart = (float(v) for v in model._of_pairs(f, others, tf.constant([4, 5, 4])))
    # D of the rows to 0.5, 1 and 0: (0.5, 1, 0), (0.5, 0, 1), (0.5, 1, 0); rows 0 and 2 are of one kind, D^2 / 2 = 0.125 and 0
    assert together == pytest.approx((0.125 + 0 + 0 + 0.125 + 0) / 3)
    # row 0 and other 1: (2 - 1)^2 / 2; row 1 and others 0, 2: 1.5^2 / 2, 1^2 / 2; row 2 and other 1: 0.5
    assert apart == pytest.approx((0.5 + 1.125 + 0.5 + 0.5) / 3, rel=1e-5)
    assert total == pytest.approx(together + apart)


@pytest.mark.parametrize(
    ("source", "settings", "words"),
    [
        ("labelled", {"method": "autoencoder", "together": "labels"}, "method autoencoder has no pairs"),
        ("labelled", {"together": "labels"}, "method auto is labels"),
        ("labelled", {"method": "labels", "margin": 1.0}, "method labels has none"),
        ("labelled", {"method": "siamese", "margin": 0.0}, "it must be above 0"),
        ("labelled", {"held_out": 0.999}, "at least 2"),
        ("labelled", {"batch": 1}, "at least 2"),
        ("labelled", {"views": {"rotate": 200}}, "between 0 and 180"),
        ("labelled", {"views": {"shift": 1.5}}, r"it must lie in \[0, 1\)"),
        ("folder", {"method": "labels"}, "method is 'labels'; .* has no labels"),
        ("folder", {"together": "labels"}, "together is 'labels'; .* has no labels"),
        ("ring", {}, "learns pictures"),
        ("stacked-digits", {}, "fixed set of pictures"),
    ],
)
def test_what_cannot_be_learned_is_one_sentence(
    source: str, settings: dict[str, Any], words: str, labelled: DataConfig, folder: Path, context: Context
) -> None:
    data = {"labelled": labelled, "folder": DataConfig(f"folder:{folder}", size=16)}.get(source) or DataConfig
    with pytest.raises(UsageError, match=words):
        config = dict(settings)
        if "views" in config:
            config["views"] = ViewConfig(**config["views"])
        Features(FeaturesConfig(data if isinstance(data, DataConfig) else DataConfig(source), **config), context)


# --- from a folder of pictures to a GAN that is measured by it --------------------------------------------------------


@pytest.mark.slow
def test_a_folder_of_pictures_becomes_an_extractor_of_dcgan(cli, folder: Path, tmp_path: Path) -> None:
    data = ("--model.data.source", f"folder:{folder}", "--model.data.size", 20, "--model.data.height", 16)
    sizes = ("--model.features", 6, "--model.width", 2, "--model.hidden", 8, "--model.batch", 8, "--run.until", 4)
    code, _, err = cli("run", "features", *data, *sizes, "--run.folder", tmp_path / "features")
    assert code == 0, err
    run, out = only_run(tmp_path / "features"), tmp_path / "exported"
    code, text, err = cli("export", run, "-o", out)
    assert code == 0 and "extractor.keras, equal within" in text, err
    assert "embed: image [any, 16, 20, 3] uint8 -> features [any, 6] float32" in text
    assert "--model.extractor path/to/this/folder/extractor.keras" in (out / "README.md").read_text()
    extractor = Extractor(str(out / "extractor.keras"))
    assert extractor.shape == (16, 20, 3)
    images = np.random.default_rng(0).integers(256, size=(3, 16, 20, 3)).astype(np.uint8)
    signature = tf.saved_model.load(str(out)).signatures["embed"]
    np.testing.assert_allclose(extractor(images), signature(image=tf.constant(images))["features"], atol=1e-5)

    gan = (
        "--model.extractor",
        out / "extractor.keras",
        "--model.eval-samples",
        8,
        "--model.latent",
        3,
        "--model.width",
        2,
    )
    code, _, err = cli(
        "run", "dcgan", *data, *gan, "--model.batch", 4, "--run.until", 2, "--run.folder", tmp_path / "dcgan"
    )
    assert code == 0, err
    trained = only_run(tmp_path / "dcgan")
    measured = json.loads((trained / "results.json").read_text())["evaluation"]
    assert "features of the model extractor.keras" in measured["eval/protocol"] and measured["eval/frechet"] > 0
    assert cli("sample", trained, "--n", 4, "--out", tmp_path / "samples.png")[0] == 0
    with Image.open(tmp_path / "samples.png") as picture:
        assert picture.size == (2 * 20, 2 * 16)

    for name, side in (("embedding", (900, 900)), ("neighbours", (2 * (6 * 20 + 4), 2 * 16))):
        assert cli("sample", run, "--picture", name, "--n", 4, "--out", tmp_path / f"{name}.png")[0] == 0
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.size == side
    code, _, err = cli("sample", run)
    assert code == 2 and "features draws no 'samples'" in err and "embedding" in err

    shutil.rmtree(folder)  # as on another machine
    assert cli("export", run, "-o", tmp_path / "again")[0] == 0


def test_the_labels_are_known_without_the_data(labelled: DataConfig, context: Context) -> None:
    with Features(FeaturesConfig(labelled, **SMALL), context) as model:
        assert model.method == "labels" and model.classes.tolist() == [0, 10, 20, 30]
    Path(labelled.source.partition(":")[2]).unlink()
    with Features(FeaturesConfig(labelled, **SMALL), context) as model:
        assert model.method == "labels" and model.classifier.output_shape == (None, 4)
        with pytest.raises(UsageError, match=r"stripes\.npz"):
            model.step()
