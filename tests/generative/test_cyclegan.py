"""`cyclegan`: its update against the paper's formulas, the pool, what is measured, clear sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

from core.errors import UsageError
from core.plugin import Context
from generative.cyclegan.config import CycleGANConfig
from generative.cyclegan.measures import Measures
from generative.cyclegan.model import CycleGAN, make_resnet
from generative.cyclegan.pool import Pool
from generative.data.settings import TwoConfig
from generative.data.two import open_two

TWO = TwoConfig("two:digits,lfw-faces", size=16, held_out=0.05)
SMALL: dict[str, Any] = {"batch": 2, "width": 2, "blocks": 1, "pool": 3, "eval_pictures": 40}


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(seed=1, folder=tmp_path)


def weights(*models: keras.Model) -> list[np.ndarray]:
    return [np.array(v) for model in models for v in model.trainable_variables]


def test_all_four_networks_move_as_the_paper_says(context: Context) -> None:
    config = CycleGANConfig(TWO, cycle_weight=3.0, identity_weight=2.0, **SMALL)
    model, twin = (CycleGAN(config, context) for _ in range(2))
    bytes_x, bytes_y = model.stream_A.next(), model.stream_B.next()
    told, fake_A, fake_B = model._update(tf.constant(bytes_x), tf.constant(bytes_y))
    told |= model._update_D(tf.constant(bytes_x), tf.constant(bytes_y), fake_A, fake_B)

    x, y = (tf.constant(part.astype(np.float32) / 127.5 - 1) for part in (bytes_x, bytes_y))
    G, F, D_A, D_B = twin.G, twin.F, twin.D_A, twin.D_B

    def apart(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.abs(a - b))

    with tf.GradientTape() as tape:
        adversarial = tf.reduce_mean((D_B(G(x)) - 1) ** 2) + tf.reduce_mean((D_A(F(y)) - 1) ** 2)
        cycle = apart(F(G(x)), x) + apart(G(F(y)), y)
        identity = apart(G(y), y) + apart(F(x), x)
        loss = adversarial + 3.0 * cycle + 2.0 * identity
    taken_A, taken_B = F(y), G(x)
    np.testing.assert_allclose(fake_A, taken_A, atol=1e-5), np.testing.assert_allclose(fake_B, taken_B, atol=1e-5)
    twin.optimizer.apply(tape.gradient(loss, twin.variables), twin.variables)
    with tf.GradientTape() as tape:
        D_loss = 0.5 * sum(
            tf.reduce_mean((D(real) - 1) ** 2) + tf.reduce_mean(D(fake) ** 2)
            for D, real, fake in ((D_A, x, taken_A), (D_B, y, taken_B))
        )
    twin.D_optimizer.apply(tape.gradient(D_loss, twin.D_variables), twin.D_variables)
    found = [told[f"loss/{name}"] for name in ("adversarial", "cycle", "identity", "generator", "discriminator")]
    np.testing.assert_allclose(found, [adversarial, cycle, identity, loss, D_loss], rtol=1e-4)
    networks = [(m.G, m.F, m.D_A, m.D_B) for m in (model, twin)]
    for mine, its in zip(*(weights(*models) for models in networks), strict=True):
        np.testing.assert_allclose(mine, its, atol=5e-5)
    model.close(), twin.close()


def test_the_pool_fills_and_then_exchanges_every_other_picture() -> None:
    pool, rng = Pool(4, (1,)), np.random.default_rng(0)
    first = np.arange(4, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(pool.exchange(first, rng), first)
    exchanged = old = 0
    inside = {0.0, 1.0, 2.0, 3.0}
    for i in range(4, 404):
        shown = float(pool.exchange(np.array([[i]], np.float32), rng)[0, 0])
        assert shown == i or shown in inside
        if shown != i:
            inside = inside - {shown} | {float(i)}
            exchanged += 1
            old += shown < i - 4
        assert set(pool.images[:, 0].tolist()) == inside
    assert 160 < exchanged < 240 and old > 20
    other = Pool(4, (1,))
    other.load_state(pool.state())
    np.testing.assert_array_equal(other.images, pool.images)
    none = Pool(0, (1,))
    np.testing.assert_array_equal(none.exchange(first, rng), first)


@pytest.mark.slow
def test_what_d_is_shown_comes_from_the_pool(context: Context) -> None:
    model = CycleGAN(CycleGANConfig(TWO, **SMALL), context)
    seen = []
    traced = model._traced_D
    model._traced_D = lambda x, y, a, b: (seen.append((a.numpy(), b.numpy())), traced(x, y, a, b))[1]
    for _ in range(6):
        model.step()
    assert len(model.pool_A.images) == len(model.pool_B.images) == 3
    shown = np.concatenate([b for _, b in seen])
    assert len(np.unique(shown.reshape(len(shown), -1), axis=0)) < len(shown)  # some twice
    model.close()


def test_a_generator_is_residual_and_any_size_comes_back_as_large() -> None:
    config = CycleGANConfig(TWO, width=4, blocks=2, down=2)
    for shape in ((16, 16, 1), (18, 26, 3)):
        assert make_resnet(shape, config, seed=0).output_shape == (None, *shape)
    G = make_resnet((16, 16, 1), config, seed=0)
    kernels = [tuple(v.shape) for v in G.trainable_variables if len(v.shape) == 4]
    residual = [(3, 3, 16, 16)] * 4
    assert kernels == [(7, 7, 1, 4), (3, 3, 4, 8), (3, 3, 8, 16), *residual, (3, 3, 8, 16), (3, 3, 4, 8), (7, 7, 4, 1)]


def test_translations_are_read_by_classifiers_of_the_target(tmp_path: Path) -> None:
    """The other set are the same digits, dark on light: the negative is the best translation there is."""
    images, labels = load_digits().images, load_digits().target
    np.savez(tmp_path / "dark.npz", images=(255 - 255 / 16 * images[::2]).astype(np.uint8), labels=labels[::2])
    data = open_two(TwoConfig(f"two:digits,{tmp_path}/dark.npz", size=16))
    measures = Measures(data, 400, "digits")
    assert measures.data.classes is not None and data.b.name == "dark.npz"

    def negative(images: np.ndarray, target: str) -> np.ndarray:
        return 255 - images if target == "dark.npz" else images

    measured = measures(negative)
    assert measured["eval/taken_b"] == 1 > 0 == measured["eval/taken_b_before"]
    assert measured["eval/taken_a"] == measured["eval/taken_a_before"] == 0
    assert measured["eval/same_class_b"] > 0.9 and measured["eval/same_class_b_real"] > 0.9
    assert measured["eval/distance"] == pytest.approx((measured["eval/frechet_a"] + measured["eval/frechet_b"]) / 2)
    assert measured["eval/frechet_b"] < 0.1 * measured["eval/frechet_a"]
    assert measured["samples/confusion"].shape[-1] == 3

    def another(images: np.ndarray, target: str) -> np.ndarray:
        """The negative of a digit of the next class."""
        of_class = {
            label: data.a.train.rows_at(np.flatnonzero(data.a.train.labels == label)[:1]) for label in range(10)
        }
        if target != "dark.npz":
            return images
        return 255 - np.concatenate([of_class[(label + 1) % 10] for label in data.a.held_out.labels.tolist()])

    permuted = measures(another)
    assert permuted["eval/same_class_b"] < 0.1 and permuted["eval/taken_b"] == 1


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"data": TwoConfig(size=8)}, "data.size is 8; the networks need 16 pixels or more"),
        ({"data": TWO, "down": 3}, "down is 3, which makes 16 pixels fewer than 4"),
        ({"cycle_weight": -1.0}, "cycle_weight is -1; it must be 0 or more"),
        ({"width": 0}, "width is 0; it must be at least 1"),
        ({"d_layers": 5}, "d_layers is 5; it must lie between 0 and 4"),
        ({"eval_pictures": 3}, "eval_pictures is 3; it must be at least 4"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        CycleGANConfig(**settings)
