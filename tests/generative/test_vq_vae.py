"""The vector-quantised VAE: codes, straight-through gradients, averages and the prior beside formulas in numpy."""

from __future__ import annotations

import itertools
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
from generative.vq_vae.config import VQVAEConfig
from generative.vq_vae.model import LEAST, VQVAE
from generative.vq_vae.networks import Prior, make_decoder, make_encoder, sides

DIGITS = DataConfig("digits")
SMALL: dict[str, Any] = {
    "held_out": 97,
    "batch": 6,
    "width": 2,
    "codes": 5,
    "code_size": 3,
    "prior_hidden": 4,
    "eval_samples": 8,
}
KEY = tf.constant([1, 0], tf.int64)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(seed=1, folder=tmp_path / "files")


# --- codes --------------------------------------------------------------------------------------------------------------


def test_the_nearest_code_by_hand(context: Context) -> None:
    with VQVAE(VQVAEConfig(DIGITS, **SMALL), context) as model:
        model.e.assign([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, -1], [5, 5, 5]])
        z = tf.constant([[[0.4, 0.1, 0], [0.6, 0.1, 0]], [[0, 1.2, 0], [3, 3, 3]]])
        assert model._nearest(z).numpy().tolist() == [[0, 1], [2, 4]]


def test_codes_are_averages_of_what_chose_them(context: Context) -> None:
    """Equations 6 to 8: N and m move by 1 - gamma to what the batch says, e is their ratio; a code not chosen stays."""
    with VQVAE(VQVAEConfig(DIGITS, decay=0.75, **SMALL), context) as model:
        e = np.array([[0.0, 0, 0], [1, 1, 1], [2, 2, 2], [3, 3, 3], [4, 4, 4]], np.float32)
        N = np.array([1.0, 2, 4, 1, 1], np.float32)
        model.e.assign(e), model.N.assign(N), model.m.assign(e * N[:, None])
        z = tf.constant([[[[1.0, 2, 3], [5, 6, 7]], [[2, 2, 2], [0, 0, 0]]]])
        model._follow(z, tf.constant([[[1, 1], [2, 0]]]))
        np.testing.assert_allclose(model.N, [0.75 + 0.25, 1.5 + 0.5, 3 + 0.25, 0.75, 0.75])
        one = (0.75 * 2 * e[1] + 0.25 * np.array([6, 8, 10])) / 2.0
        two = (0.75 * 4 * e[2] + 0.25 * np.array([2, 2, 2])) / 3.25
        np.testing.assert_allclose(model.e, [e[0], one, two, e[3], e[4]], rtol=1e-6)


def test_codes_that_nothing_chooses_begin_again_where_pictures_are(context: Context) -> None:
    with VQVAE(VQVAEConfig(DIGITS, **SMALL), context) as model:
        e = np.arange(15, dtype=np.float32).reshape(5, 3)
        N = np.array([3, LEAST / 2, 1, 0, 2], np.float32)
        model.e.assign(e), model.N.assign(N), model.m.assign(e * N[:, None])
        z = np.random.default_rng(0).normal(size=(2, 2, 2, 3)).astype(np.float32)
        model._restart_unused(tf.constant(z), KEY)
        after, rows = model.e.numpy(), z.reshape(-1, 3)
        np.testing.assert_array_equal(after[[0, 2, 4]], e[[0, 2, 4]])
        assert all((rows == after[i]).all(axis=1).any() for i in (1, 3))
        np.testing.assert_allclose(model.N, [3, 1, 1, 1, 2])
        np.testing.assert_allclose(model.m, after * model.N.numpy()[:, None])
        model.step()
        first = model.encoder(model.train.draw(model.stream.seed, 0, 6) / np.float32(255))
        assert np.isfinite(model.e).all() and first.shape == (6, 2, 2, 3)


def test_the_gradient_goes_straight_through(context: Context) -> None:
    """Of encoder and decoder after one step of gradient descent: by finite differences of the loss in which e - z_e is fixed."""
    config = VQVAEConfig(DIGITS, optimizer=OptimizerConfig(name="sgd", lr=1.0), **SMALL)
    with VQVAE(config, context) as model:
        x = model.train.draw(model.stream.seed, 0, 6)
        pixels = tf.constant(x, tf.float32) / 255
        model._restart_unused(model.encoder(pixels), tf.constant([model.noise_seed, 0], tf.int64))
        z_0 = model.encoder(pixels)
        k = model._nearest(z_0)
        e_k = tf.gather(model.e, k)
        shift = e_k - z_0

        def loss() -> float:
            z_e = model.encoder(pixels)
            made = tf.sigmoid(model.decoder(z_e + shift))
            near = tf.reduce_mean(tf.square(z_e - e_k))
            return float(tf.reduce_mean(tf.square(pixels - made)) / (2 * 0.3**2) + 0.25 * near)

        before = [np.array(v) for v in model.weights]
        expected = []
        for v in (model.encoder.trainable_variables[0], model.decoder.trainable_variables[0]):
            start = np.array(v)
            at = np.unravel_index(np.abs(start).argmax(), start.shape)
            values = []
            for step in (-1e-2, 1e-2):
                moved = start.copy()
                moved[at] += step
                v.assign(moved)
                values.append(loss())
            v.assign(start)
            expected.append((v, at, (values[1] - values[0]) / 2e-2))
        total = float(model.step()["loss/total"])
        for v, old in zip(model.weights, before, strict=True):
            for of, at, slope in expected:
                if of is v:
                    assert float(old[at] - np.array(v)[at]) == pytest.approx(slope, rel=0.03, abs=2e-4)
        for v, old in zip(model.weights, before, strict=True):
            v.assign(old)
        assert loss() == pytest.approx(total, rel=1e-5)


def test_codes_then_the_prior(context: Context) -> None:
    with VQVAE(VQVAEConfig(DIGITS, code_updates=2, **SMALL), context) as model:
        parts = {"codes": [*model.weights, model.e], "prior": model.prior.trainable_variables}
        moved = []
        for _ in range(4):
            before = {name: [np.array(v) for v in part] for name, part in parts.items()}
            tags = set(model.step())
            same = {
                name: all((old == np.array(v)).all() for old, v in zip(before[name], part, strict=True))
                for name, part in parts.items()
            }
            moved.append({name for name in parts if not same[name]})
        assert tags == {"loss/prior"} and moved == [{"codes"}, {"codes"}, {"prior"}, {"prior"}]


# --- the prior ------------------------------------------------------------------------------------------------------------


def by_hand(prior: Prior, codes: list[int]) -> np.ndarray:
    """Logits [T, K] of the prior for one grid of codes, place by place in numpy: a GRU as Keras has it, reset gate behind."""
    (W, b), (V, d) = ([np.asarray(v, float) for v in layer.trainable_variables] for layer in (prior.inner, prior.outer))
    kernel, recurrent, bias = (np.asarray(v, float) for v in prior.cell.trainable_variables)
    (height, width), K, H = prior.grid, prior.codes, prior.cell.units
    h, logits = np.zeros(H), []
    for t in range(height * width):
        x = np.zeros(2 * (K + 1) + height * width)
        x[codes[t - 1] if t else K] = 1
        x[K + 1 + (codes[t - width] if t >= width else K)] = 1
        x[2 * (K + 1) + t] = 1
        u = np.maximum(x @ W + b, 0)
        (z_x, r_x, n_x), (z_h, r_h, n_h) = np.split(u @ kernel + bias[0], 3), np.split(h @ recurrent + bias[1], 3)
        z, r = 1 / (1 + np.exp(-z_x - z_h)), 1 / (1 + np.exp(-r_x - r_h))
        h = z * h + (1 - z) * np.tanh(n_x + r * n_h)
        logits.append(h @ V + d)
    return np.array(logits)


def scrambled(prior: Prior) -> Prior:
    rng = np.random.default_rng(3)
    for v in prior.trainable_variables:
        v.assign(rng.normal(0, 0.8, v.shape))
    return prior


def test_the_prior_by_hand_and_a_probability() -> None:
    prior = scrambled(Prior((2, 3), VQVAEConfig(codes=2, prior_hidden=4), 1))
    grids = np.array(list(itertools.product(range(2), repeat=6)), np.int32)  # [64, 6]
    logits = prior(tf.constant(grids)).numpy()
    for i in (0, 17, 63):
        np.testing.assert_allclose(logits[i], by_hand(prior, grids[i].tolist()), atol=1e-5)
    p = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    whole = np.prod(np.take_along_axis(p, grids[..., None], axis=2)[..., 0], axis=1)
    assert whole.sum() == pytest.approx(
        1, abs=1e-5
    )  # over all grids there are: no place is told itself, or one that follows
    uniform = np.random.default_rng(0).random((6, 20_000), np.float32)
    drawn = prior.draw(tf.constant(uniform)).numpy()
    shares = np.bincount(drawn @ 2 ** np.arange(5, -1, -1), minlength=64) / len(drawn)
    assert np.abs(shares - whole).max() < 5 * np.sqrt(whole.max() / len(drawn))


def test_dropped_units_keep_their_mean() -> None:
    prior = Prior((2, 2), VQVAEConfig(codes=3, prior_hidden=4, prior_dropout=0.25), 1)
    x = tf.ones((100, 100))
    dropped = prior._dropped(x, KEY, 0).numpy()
    assert set(np.unique(dropped)) == {0.0, np.float32(4 / 3)} and dropped.mean() == pytest.approx(1, abs=0.02)
    np.testing.assert_array_equal(prior._dropped(x, None, 0), x)


def test_a_prior_learns_which_grids_there_are(context: Context) -> None:
    """Codes that are equal all over, one of five at random: log 5 nats a picture and not T log 5."""
    fast = OptimizerConfig(lr=0.02)
    config = VQVAEConfig(DIGITS, prior_optimizer=fast, prior_dropout=0.0, **SMALL | {"prior_hidden": 16})
    with VQVAE(config, context) as model:
        k = tf.constant(np.arange(5)[:, None].repeat(4, axis=1), tf.int32)
        model._codes = lambda images: k
        update = tf.function(model._step_of_prior)
        for _ in range(200):
            (loss,) = update(tf.zeros((5, 8, 8, 1)), KEY)
    assert float(loss) == pytest.approx(np.log(5), abs=0.1)


# --- the whole model ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "levels"), [((8, 8, 1), 1), ((28, 28, 1), 2), ((13, 9, 3), 3)])
def test_networks_for_any_size(shape: tuple[int, ...], levels: int) -> None:
    config = VQVAEConfig(levels=levels, width=2, code_size=3)
    encoder, decoder = make_encoder(shape, config, 1), make_decoder(shape, config, 1)
    z = encoder(tf.zeros((2, *shape)))
    assert z.shape == (2, *sides(shape, levels)[-1], 3) and decoder(z).shape == (2, *shape)


def test_measures_and_pictures(context: Context) -> None:
    with VQVAE(VQVAEConfig(DIGITS, **SMALL), context) as model:
        for _ in range(5):
            model.step()
        measured = model.evaluate()
        k = model.codes_of(model.test.reference(97))
        assert measured["eval/codes_used"] == len(np.unique(k)) <= 5
        shares = np.unique(k, return_counts=True)[1] / k.size
        assert measured["eval/perplexity"] == pytest.approx(np.prod(shares**-shares))
        assert 0 < measured["eval/prior_bits"] < 3 * 4 * np.log2(5) and measured["eval/frechet"] > 0
        assert model.coded(5).shape == (5, 8, 24, 3) and model.reconstructions(5).shape == (5, 16, 8, 1)
        np.testing.assert_array_equal(model.sample(9, 4), model.sample(9, 4))
        assert model.sample(9, 4).shape == (9, 8, 8, 1)
        functions = model.exportable()
        encoded = functions["encode"](tf.constant(model.test.reference(97)[:4]))["codes"]
        made = functions["decode"](encoded)["image"]
        np.testing.assert_array_equal(made, model.reconstructions(4)[:, 8:])


@pytest.mark.slow
def test_digits_are_reconstructed_by_few_codes(context: Context) -> None:
    config = VQVAEConfig(
        DIGITS, held_out=200, width=8, codes=32, code_size=8, prior_hidden=32, eval_samples=500, levels=1
    )
    with VQVAE(replace(config, code_updates=400, optimizer=OptimizerConfig(lr=2e-3)), context) as model:
        for _ in range(400):
            model.step()
        variance = float(np.var(model.test.reference(200) / 255))
        measured = model.evaluate()
        assert measured["eval/reconstruction"] < 0.2 * variance and measured["eval/perplexity"] > 10
        before = measured["eval/prior_bits"]
        for _ in range(400):
            model.step()
        assert model.evaluate()["eval/prior_bits"] < 0.8 * before


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"data": DataConfig("ring")}, "vq-vae learns pictures"),
        ({"held_out": 1797}, "less than the 1797"),
        ({"codes": 1}, "codes is 1; it must be at least 2"),
        ({"decay": 1.0}, r"decay is 1; it must lie in \[0, 1\)"),
        ({"commitment": -1.0}, "commitment is -1; a weight is 0 or more"),
        ({"levels": 0}, "levels is 0; it must be at least 1"),
    ],
)
def test_what_cannot_be_learned_is_one_sentence(settings: dict[str, Any], words: str, context: Context) -> None:
    with pytest.raises(UsageError, match=words):
        VQVAE(VQVAEConfig(**{"data": DIGITS, **settings}), context)
