"""`cvae-gan`: its update against the paper's formulas, classes asked for, reconstructions, measures, clear sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from core.errors import UsageError
from core.optim.config import OptimizerConfig
from core.plugin import Context
from generative.cvae_gan.config import CVAEGANConfig
from generative.cvae_gan.model import CVAEGAN
from generative.data.settings import DataConfig

DIGITS = DataConfig("digits", size=16)
SMALL: dict[str, Any] = {"batch": 4, "latent": 3, "width": 2, "held_out": 20, "eval_samples": 12, "ema": 0.0}
KEY = [5, 0]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One model, for what leaves no trace in it."""
    with CVAEGAN(CVAEGANConfig(DIGITS, **SMALL), Context(seed=1, folder=tmp_path_factory.mktemp("cvae"))) as model:
        yield model


def test_each_network_follows_the_losses_of_the_algorithm(tmp_path: Path) -> None:
    """Plain gradient steps, each network's by a tape of its own; the losses are written out as in the paper."""
    weights = {"kl_weight": 2.0, "pair_weight": 0.5, "d_weight": 0.3, "c_weight": 0.7, "centre_decay": 0.75}
    config = CVAEGANConfig(DIGITS, optimizer=OptimizerConfig("sgd", lr=0.02), **weights, **SMALL)
    model, twin = (CVAEGAN(config, Context(1, tmp_path)) for _ in range(2))
    x, c = model.stream.next()
    x_r, old = tf.cast(x, tf.float32) / 127.5 - 1, np.random.default_rng(0).normal(size=model.centres.shape)
    model.centres.assign(old)
    scalars = np.asarray(model._update(x_r, tf.constant(c), tf.constant(KEY, tf.int64)))

    told = tf.one_hot(c, 10)
    epsilon, z_p = tf.unstack(tf.random.stateless_normal((2, 4, 3), KEY))

    def losses() -> dict[str, Any]:
        mean, log_variance = twin.E([x_r, told], training=True)
        x_f = twin.G(tf.concat([mean + tf.exp(log_variance / 2) * epsilon, told], axis=1), training=True)
        x_p = twin.G(tf.concat([z_p, told], axis=1), training=True)
        D, C = ([net(x, training=True) for x in (x_r, x_f, x_p)] for net in (twin.D, twin.C))
        log_p = D[0][0] - tf.nn.softplus(D[0][0])  # log D(x_r)
        L_D = -tf.reduce_mean(log_p) + tf.reduce_mean(tf.nn.softplus(D[1][0])) + tf.reduce_mean(tf.nn.softplus(D[2][0]))
        L_C = -tf.reduce_mean(tf.reduce_sum(tf.nn.log_softmax(C[0][0]) * told, axis=1))
        L_KL = 0.5 * tf.reduce_mean(tf.reduce_sum(mean**2 + tf.exp(log_variance) - log_variance - 1, axis=1))
        L_G = sum(tf.reduce_sum((a - b) ** 2) / 8 for a, b in ((x_r, x_f), (D[0][1], D[1][1]), (C[0][1], C[1][1])))
        L_GD = 0.5 * tf.reduce_sum((tf.reduce_mean(D[0][1], axis=0) - tf.reduce_mean(D[2][1], axis=0)) ** 2)
        L_GC = 0.0
        for k in range(10):
            centres = [old[i, k] for i in (0, 1)]
            if k in c:
                centres = [
                    0.75 * o + 0.25 * tf.reduce_mean(f[c == k], axis=0)
                    for o, f in zip(centres, (C[0][1], C[2][1]), strict=True)
                ]
            L_GC += 0.5 * tf.reduce_sum((tf.cast(centres[0], tf.float32) - tf.cast(centres[1], tf.float32)) ** 2)
        return {"kl": L_KL, "pair": L_G, "d": L_GD, "c": L_GC, "D": L_D, "C": L_C}

    with tf.GradientTape(persistent=True) as tape:
        found = losses()
        of_network = {
            "E": 2.0 * found["kl"] + 0.5 * found["pair"],
            "G": 0.5 * found["pair"] + 0.3 * found["d"] + 0.7 * found["c"],
            "D": found["D"],
            "C": found["C"],
        }
    np.testing.assert_allclose(scalars, list(found.values()), rtol=1e-3)
    for name, loss in of_network.items():
        network: keras.Model = getattr(twin, name)
        gradients = tape.gradient(loss, network.trainable_variables)
        for mine, its, g in zip(
            getattr(model, name).trainable_variables, network.trainable_variables, gradients, strict=True
        ):
            np.testing.assert_allclose(
                np.asarray(mine) - its, -0.02 * g, rtol=2e-3, atol=1e-5 * max(1, np.abs(g).max())
            )
    absent = np.setdiff1d(np.arange(10), c)
    np.testing.assert_allclose(np.asarray(model.centres)[:, absent], old[:, absent], rtol=1e-5)
    assert np.abs(np.asarray(model.centres)[:, c] - old[:, c]).max() > 1e-3
    model.close(), twin.close()


def test_classes_are_asked_for_by_their_labels(built: CVAEGAN) -> None:
    assert list(built.captions) == [str(k) for k in range(10)]
    np.testing.assert_array_equal(built.sample(12, 2), built.draw(np.arange(12) % 10, 2))
    np.testing.assert_array_equal(built.sample_text("7", 5, 2), built.draw(np.full(5, 7), 2))
    rows = built.rows(20, 4)[0].reshape(10, 16, 2, 16).swapaxes(1, 2)
    alone = built.draw(np.full(2, 3), 4)[..., 0]
    assert np.abs(rows[3].astype(int) - alone).max() <= 1
    with pytest.raises(UsageError, match="there is no class 'x'; choose from 0, 1"):
        built.sample_text("x", 1)


def test_reconstructions_stand_under_held_out_pictures(built: CVAEGAN) -> None:
    shown = built.reconstructions(5)
    assert shown.shape == (5, 32, 16, 1)
    np.testing.assert_array_equal(shown[:, :16], built.test.reference(5))
    learned = {x.tobytes() for x in built.train.reference(len(built.train))}
    assert len(built.train) + len(built.test) == len(built.data) and len(built.test) == 20
    assert sum(x.tobytes() in learned for x in built.test.reference(20)) == 0
    images, c = built._held_out(5)
    mean, _ = built.E([tf.constant(images.astype(np.float32) / 127.5 - 1), tf.one_hot(c, 10)], training=False)
    again = built.G(tf.concat([mean, tf.one_hot(c, 10)], axis=1), training=False)
    np.testing.assert_allclose(shown[:, 16:], np.round((np.asarray(again) + 1) * 127.5), atol=1)
    exported = built.exportable()["encode"](tf.constant(images), tf.constant(c))["mean"]
    np.testing.assert_allclose(exported, mean, atol=1e-5)


def test_what_is_measured(built: CVAEGAN, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(built.evaluation, "of_pictures", lambda sampler: {"eval/protocol": "everything else"})
    images, _ = built._held_out(20)
    monkeypatch.setattr(built, "reconstruct", lambda x, c: np.where(x > 127, x - 51, x + 51).astype(np.uint8))
    measured = built.evaluate()
    assert measured["eval/reconstruction"] == pytest.approx(0.4) and len(images) == 20  # 51 of 127.5
    assert 0 <= measured["eval/agreement"] < 0.5 and measured["samples/classes"].shape == (1, 160, 160, 1)
    assert measured["eval/protocol"].startswith("everything else; reconstructions of 20")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"kl_weight": -1.0}, "kl_weight is -1; a weight is 0 or more"),
        ({"centre_decay": 1.0}, r"centre_decay is 1; it must lie in \[0, 1\)"),
        ({"held_out": 0}, "held_out is 0; it must be at least 1"),
        ({"data": DataConfig("ring")}, "data.source is 'ring'; cvae-gan learns labelled pictures"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        CVAEGANConfig(**settings)


def test_data_that_cannot_be(tmp_path: Path) -> None:
    np.savez(tmp_path / "none.npz", images=np.zeros((10, 16, 16, 1), np.uint8))
    with pytest.raises(UsageError, match="has no labels; cvae-gan learns pictures of two classes or more"):
        CVAEGAN(CVAEGANConfig(DataConfig(f"npz:{tmp_path / 'none.npz'}")), Context(1, tmp_path / "none"))
    with pytest.raises(UsageError, match="held_out is 1797; it must be less than the 1797 examples of digits"):
        CVAEGAN(CVAEGANConfig(DIGITS, held_out=1797), Context(1, tmp_path / "all"))
