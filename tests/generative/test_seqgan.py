from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from core.errors import UsageError
from core.optim.config import OptimizerConfig
from core.plugin import Context
from experiments.launcher.catalogue import catalogue
from experiments.testing import tiny
from generative.seqgan.config import SeqGANConfig
from generative.seqgan.model import SeqGAN
from generative.seqgan.networks import Discriminator, Writer, chosen

KEY = tf.constant([5, 6], tf.int64)


def small(**settings: object) -> SeqGANConfig:
    return replace(tiny(catalogue().plugins["seqgan"]), **settings)


def model(tmp_path: Path, **settings: object) -> SeqGAN:
    return SeqGAN(small(**settings), Context(seed=1, folder=tmp_path))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def by_hand(writer: Writer, x: np.ndarray) -> np.ndarray:
    """Return the probabilities [B, T, V] of all symbols in numpy, symbol by symbol; symbol 0 stands before each sequence."""
    E, W, U, b, K, k = (np.asarray(v, np.float64) for v in writer.trainable_variables)
    H = writer.units
    h, c = np.zeros((len(x), H)), np.zeros((len(x), H))
    before, p = np.zeros(len(x), int), []
    for t in range(x.shape[1]):
        z = E[before] @ W + h @ U + b
        i, f, g, o = (z[:, n * H : (n + 1) * H] for n in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        p.append(softmax(h @ K + k))
        before = x[:, t]
    return np.stack(p, axis=1)


def test_the_writer_is_an_lstm_that_reads_what_it_wrote() -> None:
    writer = Writer(7, 3, 4, 1.0, 1, "oracle")
    x = np.random.default_rng(0).integers(7, size=(5, 6)).astype(np.int32)
    p = by_hand(writer, x)
    expected = -np.log(np.take_along_axis(p, x[..., None], axis=2)[..., 0])
    np.testing.assert_allclose(writer.nll(x), expected, rtol=1e-4)
    assert 0.7 < np.concatenate([np.ravel(v) for v in writer.trainable_variables]).std() < 1.3


def test_symbols_are_drawn_by_their_probabilities() -> None:
    logits = tf.math.log([[0.2, 0.3, 0.5]] * 5)
    u = tf.constant([0.0, 0.19, 0.25, 0.6, 0.9999999])
    np.testing.assert_array_equal(chosen(logits, u), [0, 0, 1, 2, 2])


def test_sequences_go_on_from_their_prefix_as_the_network_says() -> None:
    """The same numbers u, used one symbol after the other in numpy, give the same sequences."""
    writer = Writer(7, 3, 4, 1.0, 1, "oracle")
    u = np.random.default_rng(1).random((50, 6)).astype(np.float32)
    x = np.zeros((50, 6), np.int32)
    for t in range(6):
        up_to = by_hand(writer, x)[:, t].cumsum(axis=1)
        x[:, t] = (up_to <= u[:, t, None]).sum(axis=1)
    np.testing.assert_array_equal(writer.write(tf.constant(u)), x)
    other = np.where(np.arange(6) < 2, x, 3).astype(np.int32)  # only the first two symbols are known
    state = writer.fresh(50)
    for symbol in (np.zeros(50, np.int32), x[:, 0], x[:, 1]):
        state = writer.read(symbol, state)
    np.testing.assert_array_equal(writer.go_on(tf.constant(other), 2, state, tf.constant(u)), x)


def test_the_discriminator_is_filters_their_largest_answers_and_a_highway() -> None:
    D = Discriminator(7, 3, (1, 3), (2, 4), 0.5, 1)
    x = np.random.default_rng(0).integers(7, size=(5, 6))
    e = np.asarray(D.embedding.weights[0])[x]  # [5, 6, 3]
    features = []
    for layer, width in zip(D.convolutions, (1, 3), strict=True):
        K, b = map(np.asarray, layer.weights)
        windows = np.stack([e[:, t : t + width] for t in range(6 - width + 1)], axis=1)
        features.append(np.maximum(np.einsum("btwe,wef->btf", windows, K) + b, 0).max(axis=1))
    f = np.concatenate(features, axis=1)  # [5, 6]
    (T, t), (G, g), (W, w) = ([np.asarray(v) for v in layer.weights] for layer in (D.transform, D.gate, D.logit))
    gate = sigmoid(f @ G + g)
    expected = (gate * np.maximum(f @ T + t, 0) + (1 - gate) * f) @ W[:, 0] + w
    np.testing.assert_allclose(D(x), expected, atol=1e-5)
    assert np.allclose(g, -2) and not np.allclose(D(x, KEY), expected)
    np.testing.assert_allclose(D.decay(), (W**2).sum() / 2 + (w**2).sum() / 2, rtol=1e-5)


def test_rounds_follow_pretraining(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """16 sequences in batches of 8, half of them positive: 4 updates of D an epoch."""
    plugin = model(tmp_path, pretrain=3, pretrain_d_steps=2, g_steps=2, d_steps=1, d_epochs=1, turn=3)
    monkeypatch.setattr(plugin, "_policy_update", lambda key: [0.0] * 3)
    monkeypatch.setattr(plugin, "_likelihood_updates", lambda x: 0.0)
    monkeypatch.setattr(plugin, "_discriminator_updates", lambda real, fake, key: [0.0] * 3)
    found = []
    while plugin.clock < 3 + 8 + 6 + 3:
        kind, before, _ = plugin.phase()
        start = plugin.clock
        tags = plugin.step()
        found.append((kind, before, plugin.clock - start))
        assert f"loss/{kind}" in tags
    d = "discriminator"
    assert found == [
        *[("likelihood", 0, 3)],
        *[(d, 0, 3), (d, 3, 1), (d, 4, 3), (d, 7, 1)],
        *[("policy", 0, 1), ("policy", 1, 1), (d, 8, 3), (d, 11, 1)],
        *[("policy", 2, 1), ("policy", 3, 1), (d, 12, 3)],
    ]
    assert model(tmp_path, adversarial=False).phase().kind == "likelihood"


def test_a_prefix_is_worth_what_the_discriminator_says_of_what_follows(tmp_path: Path) -> None:
    """A roll-out policy that always goes on with symbol 3 makes the roll-outs known."""
    plugin = model(tmp_path)
    kernel, bias = plugin.G_average.logits.weights
    kernel.assign(tf.zeros_like(kernel))
    bias.assign(50.0 * tf.one_hot(3, 12))
    x = np.random.default_rng(0).integers(12, size=(8, 4)).astype(np.int32)
    expected = np.stack([sigmoid(np.asarray(plugin.D(np.where(np.arange(4) <= t, x, 3)))) for t in range(4)], axis=1)
    np.testing.assert_allclose(plugin.rewards(tf.constant(x), KEY), expected, rtol=1e-5)


@pytest.mark.parametrize("baseline", [pytest.param(False, marks=pytest.mark.slow), True])
def test_the_policy_gradient(baseline: bool, tmp_path: Path) -> None:
    """With gradient descent the last bias moves by lr mean_B sum_t Q_t (1{y_t} - p_t); the roll-out policy follows."""
    plugin = model(tmp_path, baseline=baseline, policy_optimizer=OptimizerConfig("sgd", lr=0.5))
    x = plugin.G.write(plugin._uniform(KEY, 0, 8)).numpy()
    Q = plugin.rewards(tf.constant(x), KEY).numpy()
    A = Q - Q.mean(axis=0) if baseline else Q
    p, bias, beta = by_hand(plugin.G, x), plugin.G.logits.bias, plugin.G_average.logits.bias.numpy()
    expected = bias.numpy() + 0.5 * (A[..., None] * (np.eye(12)[x] - p)).sum(axis=1).mean(axis=0)
    loss, first, last = plugin._policy_update(KEY)
    np.testing.assert_allclose(bias, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(plugin.G_average.logits.bias, 0.8 * beta + 0.2 * expected, rtol=1e-4, atol=1e-6)
    log_p = np.log(np.take_along_axis(p, x[..., None], axis=2)[..., 0])
    np.testing.assert_allclose(loss, -(A * log_p).sum(axis=1).mean(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose([first, last], [Q[:, 0].mean(), Q[:, -1].mean()], rtol=1e-5)


def test_the_discriminators_update(tmp_path: Path) -> None:
    """With gradient descent its last bias moves by -lr (mean over both sides of D - label, and the decay's part)."""
    plugin = model(tmp_path, keep=1.0, l2=0.3, discriminator=OptimizerConfig("sgd", lr=0.5))
    bias = plugin.D.logit.bias
    bias.assign([0.4])
    x = np.random.default_rng(0).integers(12, size=(2, 1, 4, 4))
    p_real, p_fake = (sigmoid(np.asarray(plugin.D(side[0]))) for side in x)
    gradient = (np.sum(p_real - 1) + np.sum(p_fake)) / 8 + 0.3 * 0.4
    loss, of_real, of_fake = plugin._discriminator_updates(tf.constant(x[0]), tf.constant(x[1]), KEY)
    np.testing.assert_allclose(bias, [0.4 - 0.5 * gradient], rtol=1e-5)
    np.testing.assert_allclose([of_real, of_fake], [p_real.mean(), p_fake.mean()], rtol=1e-5)
    np.testing.assert_allclose(loss, -(np.log(p_real).sum() + np.log(1 - p_fake).sum()) / 8, rtol=1e-5)


def test_what_an_evaluation_measures(tmp_path: Path) -> None:
    """A generator with the oracle's weights has the oracle's likelihood of what is held out; runs share the oracle."""
    settings = {"units": 5, "embedding": 5, "oracle_units": 5, "eval_samples": 30}
    plugin = model(tmp_path, **settings)
    plugin.G.set_weights(plugin.oracle.get_weights())
    measured = plugin.evaluate()
    p = by_hand(plugin.oracle, np.asarray(plugin.held_out))
    expected = -np.log(np.take_along_axis(p, np.asarray(plugin.held_out)[..., None], axis=2)).mean()
    np.testing.assert_allclose([measured["eval/nll_of_oracle"], measured["eval/nll_test"]], expected, rtol=1e-4)
    assert measured["eval/nll_oracle"] == pytest.approx(expected, rel=0.3)
    other = SeqGAN(small(**settings), Context(seed=2, folder=tmp_path))
    np.testing.assert_array_equal(plugin.positives, other.positives)
    assert len(np.unique(np.concatenate([plugin.positives, plugin.held_out]), axis=0)) > 40


def test_bad_settings_are_one_sentence() -> None:
    for settings, sentence in (
        ({"vocabulary": 1}, "vocabulary is 1; it must be at least 2"),
        ({"batch": 7}, "batch is 7; it must be even"),
        ({"batch": 32}, "between 2 and the 16 sequences"),
        ({"rollouts": 0}, "rollouts is 0; it must be at least 1"),
        ({"rollout_rate": 1.0}, "rollout_rate is 1; it must be 0 or more and below 1"),
        ({"keep": 0.0}, "keep is 0; it must be above 0"),
        ({"widths": (1, 5)}, "widths has 5; each must lie between 1 and the 4 symbols"),
        ({"widths": (1,)}, "there are 1 widths and 2 filters"),
        ({"filters": (0, 1)}, "filters has 0; each must be at least 1"),
    ):
        with pytest.raises(UsageError, match=sentence):
            small(**settings)


@pytest.mark.slow
def test_maximum_likelihood_learns_the_oracle(tmp_path: Path) -> None:
    """Where sequences abound it comes near the oracle itself."""
    settings = {"sequences": 5_000, "units": 16, "embedding": 8, "oracle_units": 4, "batch": 64, "eval_samples": 1_000}
    plugin = model(tmp_path, adversarial=False, turn=50, **settings)
    start = plugin.evaluate()
    while plugin.clock < 1_500:
        plugin.step()
    measured = plugin.evaluate()
    best = measured["eval/nll_of_oracle"]
    assert measured["eval/nll_test"] - best < 0.15 * (start["eval/nll_test"] - best)
    assert measured["eval/nll_oracle"] < start["eval/nll_oracle"]
