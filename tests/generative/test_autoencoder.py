"""Autoencoders: updates beside an independent formula, phases of a stack, measures, pictures, and sentences for bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from core import checkpoint
from core.errors import UsageError
from core.optim.config import OptimizerConfig
from core.plugin import Context
from experiments.launcher.catalogue import catalogue
from experiments.launcher.experiment import Experiment
from experiments.launcher.images import grid
from experiments.testing import check_contract
from generative.autoencoder.config import AutoencoderConfig
from generative.autoencoder.measures import best_median, enlarged, side_by_side, way, weights_as_pictures
from generative.autoencoder.model import Autoencoder
from generative.data.labels import Labelled
from generative.data.settings import DataConfig
from generative.data.sources import Pictures
from tests.conftest import only_run

SGD = OptimizerConfig(name="sgd", lr=0.1)
DIGITS = DataConfig("digits")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(seed=1, folder=tmp_path / "files")


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def kernels(model: Autoencoder, i: int = 0) -> list[np.ndarray]:
    """Return W, b, W', b' of layer i in float64."""
    weights = [*model.encoders[str(i)].trainable_variables, *model.decoders[str(i)].trainable_variables]
    return [np.asarray(v, np.float64) for v in weights]


# --- the update --------------------------------------------------------------------------------------------------------


def by_hand(x: np.ndarray, weights: list[np.ndarray], config: AutoencoderConfig) -> tuple[float, list[np.ndarray]]:
    """Loss and gradients of the sparse autoencoder, backpropagated as CS294A writes it down; x [B, D]."""
    W, b, V, c = weights
    B = len(x)
    y = sigmoid(x @ W + b)
    z = sigmoid(y @ V + c)
    mean = y.mean(axis=0)
    rho, beta, l2 = config.rho, config.beta, config.own("l2")
    divergence = rho * np.log(rho / mean) + (1 - rho) * np.log((1 - rho) / (1 - mean))
    loss = (
        0.5 * np.square(z - x).sum() / B
        + 0.5 * l2 * (np.square(W).sum() + np.square(V).sum())
        + beta * divergence.sum()
    )
    delta_3 = (z - x) * z * (1 - z)
    delta_2 = (delta_3 @ V.T + beta * (-rho / mean + (1 - rho) / (1 - mean))) * y * (1 - y)
    return loss, [x.T @ delta_2 / B + l2 * W, delta_2.mean(axis=0), y.T @ delta_3 / B + l2 * V, delta_3.mean(axis=0)]


def test_a_sparse_update_is_that_of_the_lecture_notes(context: Context) -> None:
    config = AutoencoderConfig(DIGITS, kind="sparse", hidden=7, batch=20, held_out=100, optimizer=SGD)
    with Autoencoder(config, context) as model:
        images = model.train.draw(model.stream.seed, 0, 20)
        before = kernels(model)
        scalars = {tag: float(v) for tag, v in model.step().items()}
        after = kernels(model)
    loss, gradients = by_hand(images.reshape(20, -1) / 255, before, config)
    assert scalars["loss/total"] == pytest.approx(loss, rel=1e-5)
    assert scalars["loss/total"] == pytest.approx(scalars["loss/reconstruction"] + scalars["loss/penalty"], rel=1e-5)
    for new, old, gradient in zip(after, before, gradients, strict=True):
        np.testing.assert_allclose(new, old - 0.1 * gradient, atol=2e-6)


def test_cross_entropy_and_l1_by_hand(context: Context) -> None:
    config = AutoencoderConfig(
        DIGITS,
        kind="sparse",
        activation="softplus",
        loss="cross-entropy",
        l1=0.3,
        l2=0.0,
        hidden=5,
        batch=9,
        held_out=100,
    )
    with Autoencoder(config, context) as model:
        x = model.train.draw(model.stream.seed, 0, 9).reshape(9, -1) / 255
        W, b, V, c = kernels(model)
        scalars = model.step()
    y = np.log1p(np.exp(x @ W + b))
    z = sigmoid(y @ V + c)
    entropy = -(x * np.log(z) + (1 - x) * np.log(1 - z)).sum(axis=1).mean()
    assert float(scalars["loss/reconstruction"]) == pytest.approx(entropy, rel=1e-5)
    assert float(scalars["loss/penalty"]) == pytest.approx(0.3 * y.mean(axis=0).sum(), rel=1e-5)


def test_what_denoising_is_given_and_what_it_shall_make(context: Context) -> None:
    """Its loss is the distance of z, made of half of the pixels, to all of them."""
    config = AutoencoderConfig(DIGITS, hidden=6, batch=50, held_out=100)
    with Autoencoder(config, context) as model:
        x = model.train.draw(model.stream.seed, 0, 50) / np.float32(255)
        keys = (tf.constant([model.noise_seed, clock], tf.int64) for clock in (0, 1))
        seen, other = (np.asarray(model._corrupted(tf.constant(x), key)) for key in keys)
        W, b, V, c = kernels(model)
        loss = float(model.step()["loss/total"])
    kept = seen == x
    np.testing.assert_array_equal(seen[~kept], 0)
    assert 0.45 < kept[x > 0].mean() < 0.55 and not np.array_equal(seen, other)
    z = sigmoid(sigmoid(seen.reshape(50, -1) @ W + b) @ V + c)
    assert loss == pytest.approx(0.5 * np.square(z - x.reshape(50, -1)).sum(axis=1).mean(), rel=1e-5)


# --- a stack -------------------------------------------------------------------------------------------------------------

STACK: dict[str, Any] = {
    "kind": "stacked",
    "hidden": 6,
    "batch": 10,
    "held_out": 97,
    "labels": 30,
    "pretrain_updates": 2,
}


def test_layers_learn_one_after_another_then_all_by_labels(context: Context) -> None:
    with Autoencoder(AutoencoderConfig(DIGITS, **STACK), context) as model:
        parts = {**model.encoders, **{f"{name}'": decoder for name, decoder in model.decoders.items()}}
        parts["U"] = model.classifier
        moved = []
        for _ in range(6):
            before = {name: np.asarray(part.trainable_variables[0]) for name, part in parts.items()}
            model.step()
            after = {name: np.asarray(part.trainable_variables[0]) for name, part in parts.items()}
            moved.append({name for name in parts if not np.array_equal(before[name], after[name])})
    assert moved == [{"0", "0'"}, {"0", "0'"}, {"1", "1'"}, {"1", "1'"}, {"0", "1", "U"}, {"0", "1", "U"}]


def test_the_second_layer_reconstructs_what_the_first_tells_it(context: Context) -> None:
    with Autoencoder(AutoencoderConfig(DIGITS, **STACK), context) as model:
        model.step(), model.step()
        x = model.train.draw(model.stream.seed, 2, 10).reshape(10, -1) / 255
        (W, b, _, _), (W2, b2, V2, c2) = kernels(model, 0), kernels(model, 1)
        loss = float(model.step()["loss/total"])
    y = sigmoid(x @ W + b)
    z = sigmoid(sigmoid(y @ W2 + b2) @ V2 + c2)
    assert loss == pytest.approx(-(y * np.log(z) + (1 - y) * np.log(1 - z)).sum(axis=1).mean(), rel=1e-5)


def test_fine_tuning_by_hand_on_the_known_labels_alone(context: Context) -> None:
    config = AutoencoderConfig(DIGITS, pretrain=False, optimizer=SGD, **STACK)
    with Autoencoder(config, context) as model:
        known = {image.tobytes() for image in model.train.rows_at(np.arange(30))}
        images, c = Labelled(model.train.first(30), model.classes).draw(model.labelled.seed, 0, 10)
        assert {image.tobytes() for image in images} <= known
        (W, b, _, _), (W2, b2, _, _) = kernels(model, 0), kernels(model, 1)
        U, d = (np.asarray(v, np.float64) for v in model.classifier.trainable_variables)
        loss = float(model.step()["loss/total"])
        after = np.asarray(model.classifier.trainable_variables[0])
    y = sigmoid(sigmoid(images.reshape(10, -1) / 255 @ W + b) @ W2 + b2)
    p = np.exp(y @ U + d)
    p /= p.sum(axis=1, keepdims=True)
    assert loss == pytest.approx(-np.log(p[np.arange(10), c]).mean(), rel=1e-5)
    np.testing.assert_allclose(after, U - 0.1 * y.T @ (p - np.eye(10)[c]) / 10, atol=2e-6)


def test_labels_need_not_be_numbers_from_0(context: Context, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(256, size=(60, 8, 8, 1)).astype(np.uint8)
    np.savez(tmp_path / "own.npz", images=images, labels=np.arange(60) % 3 * 7 + 5)
    config = AutoencoderConfig(DataConfig(f"npz:{tmp_path / 'own.npz'}"), pretrain=False, **STACK | {"held_out": 20})
    with Autoencoder(config, context) as model:
        model.step()
        assert model.classes.tolist() == [5, 12, 19]
        told = model.exportable()["classify"](tf.constant(images))
        assert set(np.unique(told["label"])) <= {5, 12, 19}
        np.testing.assert_allclose(np.sum(told["probability"], axis=1), 1, rtol=1e-5)
        assert model.evaluate()["eval/error"] == pytest.approx(1 - model.evaluate()["eval/accuracy"])


@pytest.mark.slow
def test_pretraining_helps(tmp_path: Path) -> None:
    """With 500 labels the pre-trained stack of `autoencoder-stacked` reads more digits than `autoencoder-scratch` does."""
    accuracy = {}
    for preset in ("autoencoder-stacked", "autoencoder-scratch"):
        named = Experiment.of([preset])
        with Autoencoder(named.config, Context(seed=1, folder=tmp_path / preset)) as model:
            while model.clock < named.settings.until:
                model.step()
            accuracy[preset] = model.evaluate()["eval/accuracy"]
    assert accuracy["autoencoder-stacked"] > accuracy["autoencoder-scratch"] + 0.01, accuracy


# --- every kind ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "vanilla"},
        {"kind": "sparse", "activation": "relu"},
        {"kind": "denoising"},
        {"kind": "convolutional", "width": 2, "keep": 0.7},
        {"kind": "stacked", "layers": 3, "keep": 0.8, "pretrain_updates": 1},
    ],
    ids=str,
)
def test_every_kind_keeps_the_contract(settings: dict[str, Any], tmp_path: Path) -> None:
    """A stack of two layers is the plugin's own entry."""
    spec = catalogue().plugins["autoencoder"]
    check_contract(replace(spec, tiny={**spec.tiny, **settings}), tmp_path)


def test_it_learns_to_denoise(context: Context) -> None:
    fast = OptimizerConfig(lr=5e-3)
    config = AutoencoderConfig(DIGITS, hidden=100, held_out=200, keep=0.7, optimizer=fast)
    with Autoencoder(config, context) as model:
        before = model.evaluate()
        for _ in range(300):
            model.step()
        after = model.evaluate()
    assert after["eval/psnr_denoised"] > before["eval/psnr_denoised"] + 3
    assert after["eval/psnr_denoised"] > max(after["eval/psnr_noisy"], after["eval/psnr_median"]) + 3
    assert after["eval/psnr_denoised"] == pytest.approx(-10 * np.log10(after["eval/error"]), abs=1e-6)


def test_units_are_as_quiet_as_they_shall_be(context: Context) -> None:
    fast = OptimizerConfig(lr=1e-2)
    config = AutoencoderConfig(DIGITS, kind="sparse", hidden=50, held_out=200, rho=0.2, l2=0.001, optimizer=fast)
    with Autoencoder(config, context) as model:
        assert model.evaluate()["eval/mean_activation"] > 0.4
        for _ in range(300):
            model.step()
        assert model.evaluate()["eval/mean_activation"] == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("size", [(13, 9), pytest.param((64, 40), marks=pytest.mark.slow)])
def test_pictures_of_any_size_and_colour(size: tuple[int, int], context: Context, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(256, size=(20, *size, 3)).astype(np.uint8)
    np.savez(tmp_path / "own.npz", images=images)
    for kind in ("vanilla", "convolutional"):
        config = AutoencoderConfig(DataConfig(f"npz:{tmp_path / 'own.npz'}"), kind=kind, hidden=4, batch=4, held_out=5)
        with Autoencoder(config, context) as model:
            model.step()
            assert model.reconstruct(images[:7]).shape == (7, *size, 3)
            times = -(-84 // size[0])
            assert model.interpolation(2, 0).shape == (1, 2 * times * size[0], times * (12 * size[1] + 12), 3)
            assert model.reconstructions(3).shape == (3, times * size[0], times * (2 * size[1] + 4), 3)


def test_a_way_ends_where_the_pictures_are(context: Context) -> None:
    config = AutoencoderConfig(DIGITS, kind="vanilla", hidden=6, held_out=20)
    with Autoencoder(config, context) as model:
        row = model.interpolation(1, 3)[0][::11, ::11][:, :-4]  # [8, 8 + 4 + 80 + 4 + 8, 1]
        first, last = row[:, :8], row[:, -8:]
        made = model.reconstruct(np.stack([first, last])).astype(int)
    np.testing.assert_allclose(row[:, 12:20], made[0], atol=1)
    np.testing.assert_allclose(row[:, -20:-12], made[1], atol=1)


# --- measures ------------------------------------------------------------------------------------------------------------


def test_the_better_median_filter() -> None:
    """Of a lone white pixel nothing is left; of a large square 3x3 leaves more than 5x5."""
    clean = np.zeros((2, 12, 12, 1), np.uint8)
    clean[:, 3:7, 3:7] = 200
    noisy = clean.copy()
    noisy[0, 0, 9] = 255
    made, side = best_median(noisy, clean)
    assert side == 3 and made[0, 0, 9] == 0
    rounded = clean[1, :, :, 0].copy()
    rounded[np.ix_([3, 6], [3, 6])] = 0  # at a corner four of nine are white, so the middle one is black
    np.testing.assert_array_equal(made[1, :, :, 0], rounded)
    speckled = np.random.default_rng(0).choice([0, 255], (2, 40, 40, 1)).astype(np.uint8)
    assert best_median(speckled, np.full_like(speckled, 255))[0].shape == speckled.shape


def test_weights_as_pictures_by_hand() -> None:
    kernel = np.array([[1.0, 0.0], [-2.0, 0.0], [0.0, 0.5], [2.0, 0.0], [0.0, 0.0], [1.0, -0.25]])  # [2 3 1, 2 units]
    drawn = weights_as_pictures(kernel, (2, 3, 1))
    assert drawn.shape == (2, 2, 3, 1) and drawn.dtype == np.uint8
    assert drawn[0, ..., 0].tolist() == [[191, 0, 128], [255, 128, 191]]
    assert drawn[1, ..., 0].tolist() == [[128, 128, 255], [128, 128, 64]]
    assert weights_as_pictures(np.zeros((4, 4, 3, 7)), (28, 28, 3)).tolist() == np.full((7, 4, 4, 3), 128).tolist()


def test_ways_and_columns_by_hand() -> None:
    a, b = np.array([[0.0, 1.0]]), np.array([[2.0, 0.0]])
    assert way(a, b, 3).tolist() == [[[0, 1], [1, 0.5], [2, 0]]]
    x = np.zeros((1, 2, 1, 1), np.uint8)
    assert side_by_side([x, x + 9])[0, 0, :, 0].tolist() == [0, *4 * [255], 9, *4 * [255]]
    assert enlarged(x + 1).shape == (1, 168, 84, 1)
    assert enlarged(np.zeros((1, 60, 99, 3), np.uint8)).shape == (1, 120, 198, 3)


# --- bad input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"data": DataConfig("ring")}, "autoencoder learns pictures"),
        pytest.param({"data": DataConfig("stacked-digits")}, "fixed set of pictures", marks=pytest.mark.slow),
        ({"held_out": 1797}, "less than the 1797"),
        ({"kind": "stacked", "activation": "relu"}, "must be sigmoid"),
        ({"kind": "stacked", "labels": 1700}, "labels is 1700; there are 797"),
        ({"kind": "stacked", "data": DataConfig("photos", size=16), "held_out": 10}, "learns labels; photos has none"),
        ({"keep": 1.0}, "denoising needs less than 1"),
        ({"keep": 0.0}, "keep is 0; it must be above 0"),
        ({"rho": 1.0}, "rho is 1; it is a mean of activations"),
        ({"l2": -1.0}, "l2 is -1.0; a weight is 0 or more"),
        ({"hidden": 0}, "hidden is 0; it must be at least 1"),
    ],
)
def test_what_cannot_be_learned_is_one_sentence(settings: dict[str, Any], words: str, context: Context) -> None:
    with pytest.raises(UsageError, match=words):
        Autoencoder(AutoencoderConfig(**{"data": DIGITS, **settings}), context)


def test_labels_are_known_without_the_data(context: Context, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(256, size=(60, 8, 8, 1)).astype(np.uint8)
    np.savez(tmp_path / "own.npz", images=images, labels=np.arange(60) % 3)
    config = AutoencoderConfig(DataConfig(f"npz:{tmp_path / 'own.npz'}"), pretrain=False, **STACK | {"held_out": 20})
    with Autoencoder(config, context) as model:
        model.step()
    (tmp_path / "own.npz").unlink()
    with Autoencoder(config, context) as model:
        assert model.classes.tolist() == [0, 1, 2] and len(model.filters(4)) == 4
        with pytest.raises(UsageError, match=r"own\.npz"):
            model.step()


@pytest.mark.parametrize("kind", ["denoising", "stacked"])
def test_what_is_drawn_of_a_run_is_what_it_learned(kind: str, cli, tmp_path: Path) -> None:
    """By the best checkpoint, which keeps weights and nothing else."""
    sizes = ("--model.hidden", 6, "--model.held-out", 1600, "--model.labels", 50, "--model.pretrain-updates", 10)
    words = ("--model.data.source", "digits", "--model.kind", kind, *sizes, "--run.until", 40, "--run.folder", tmp_path)
    code, _, err = cli("run", "autoencoder", *words)
    assert code == 0, err
    run = only_run(tmp_path)
    assert cli("sample", run, "--picture", "filters", "--n", 4, "--out", tmp_path / "drawn.png")[0] == 0
    config = AutoencoderConfig(DIGITS, kind=kind, hidden=6, held_out=1600, labels=50, pretrain_updates=10)
    with (
        Autoencoder(config, Context(seed=9, folder=run / "files")) as model,
        Image.open(tmp_path / "drawn.png") as picture,
    ):
        checkpoint.load(checkpoint.numbered(run)[0], {"plugin": model.state()})
        np.testing.assert_array_equal(np.asarray(picture), grid(model.filters(4))[..., 0])


def test_batches_of_pictures_with_labels() -> None:
    images = np.arange(20, dtype=np.uint8).reshape(20, 1, 1, 1)
    data = Pictures("own", "own", images, np.arange(20) // 5 * 10)
    train, _ = data.split(4)
    x, y = Labelled(train, np.array([0, 10, 20, 30])).draw(3, 1, 6)
    np.testing.assert_array_equal(x, train.draw(3, 1, 6))
    np.testing.assert_array_equal(y, x[:, 0, 0, 0] // 5)
    first = train.first(7)
    assert len(first) == 7 and first.labels.tolist() == train.labels[:7].tolist()
    np.testing.assert_array_equal(first.rows_at(np.arange(7)), train.rows_at(np.arange(7)))
