"""The network that writes: symbols, brackets, windows of a ring, its update by an independent formula, drawing, measures."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from core import checkpoint
from core.errors import UsageError
from core.metrics.ngram import ngram_bits
from core.optim.config import OptimizerConfig
from core.plugin import Context
from experiments import train
from generative.char_rnn.config import CharRNNConfig
from generative.char_rnn.measures import balanced, bracketed
from generative.char_rnn.model import CharRNN
from generative.char_rnn.network import Network, drawn
from generative.char_rnn.symbols import UNKNOWN, Symbols
from generative.data.settings import TextConfig

SMALL: dict[str, Any] = {
    "units": 6,
    "embedding": 3,
    "batch": 3,
    "steps": 4,
    "turn": 1,
    "order": 2,
    "samples": 3,
    "sample_length": 30,
    "decay": 1.0,
}


@pytest.fixture
def text(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    words = ["red", "green", "blue", "(up)", "[down]", "to", "the"]
    lines = [" ".join(rng.choice(words, 7)) + f" {i}." for i in range(120)]
    (tmp_path / "a.txt").write_text("\n\n".join("\n".join(lines[i : i + 3]) for i in range(0, 120, 3)))
    return f"text:{tmp_path / 'a.txt'}"


def model(text: str, folder: Path, seed: int = 1, **settings: Any) -> CharRNN:
    config = CharRNNConfig(TextConfig(text), **{**SMALL, **settings})
    return CharRNN(config, Context(seed=seed, folder=folder / "files"))


# --- symbols and brackets -------------------------------------------------------------------------------------------------


def test_characters_that_are_rare_are_one_symbol() -> None:
    symbols = Symbols.learn("aaaa bbbb\nccc é", rare=3)
    assert symbols.texts == [UNKNOWN, "a", "b", "c"] and len(symbols) == 4
    assert symbols.encode("cab\N{GRINNING FACE}é").tolist() == [3, 1, 2, 0, 0]
    assert symbols.decode(np.array([3, 1, 0])) == f"ca{UNKNOWN}" and symbols.unknown("aéé a") == ["é", " "]
    assert symbols.codes().tolist() == [[0xFFFD], [97], [98], [99]]


def test_words_take_the_space_before_them_and_rare_ones_are_spelled() -> None:
    text = "the cat\n    saw the cat, the cat 12\n    saw a cow near the cat"
    symbols = Symbols.learn(text, rare=1, words=3)
    assert [word for word in symbols.texts if len(word) > 1] == [" cat", " the"]  # three times or more
    numbers = symbols.encode(text)
    assert symbols.decode(numbers) == text and symbols.lengths[numbers].sum() == len(text) and len(numbers) < len(text)
    assert [symbols.texts[n] for n in symbols.encode(" the cow")] == [" the", " ", "c", "o", "w"]
    indented = Symbols.learn(4 * "x\n    y\n", rare=1, words=9)
    assert [indented.texts[n] for n in indented.encode("y\n    x\n x")] == ["y", "\n    ", "x", "\n", " ", "x"]
    assert indented.codes().shape == (len(indented), 5)


@pytest.mark.parametrize(
    ("paragraph", "whole"),
    [("f(x[0], {1: 2})", True), ("f(x[0)]", False), ("a)", False), ("(a", False), ("no", True), (")(", False)],
)
def test_brackets(paragraph: str, whole: bool) -> None:
    assert balanced(paragraph) is whole


def test_paragraphs_with_brackets_are_counted() -> None:
    assert bracketed(["(a)", "b", "[c", "1) d", "e (f) :)"]) == (3, 1)


# --- windows and the update -----------------------------------------------------------------------------------------------


def test_windows_follow_each_other_on_a_ring(text: str, tmp_path: Path) -> None:
    plugin = model(text, tmp_path)
    N, (B, T) = len(plugin.numbers), (3, 4)
    assert plugin.windows == N // B // T
    (first, fresh), (second, not_fresh) = plugin._window(0), plugin._window(1)
    assert first.shape == (T + 1, B) and (fresh, not_fresh) == (True, False)
    np.testing.assert_array_equal(first[-1], second[0])  # the last symbol to predict is the next to read
    whole = np.concatenate([plugin._window(k)[0][:-1] for k in range(plugin.windows)])  # [windows T, B]
    ring = np.concatenate([plugin.numbers, plugin.numbers])
    starts = [i for i in range(N) if np.array_equal(ring[i : i + len(whole)], whole[:, 0])]
    assert len(starts) == 1
    for b in range(B):
        np.testing.assert_array_equal(whole[:, b], ring[(starts[0] + b * (N // B)) % N :][: len(whole)])
    after = plugin._window(plugin.windows)
    assert after[1] and not np.array_equal(after[0], first)  # another epoch begins elsewhere


def numpy_pass(weights: dict[str, np.ndarray], x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits [T, B, V] and the last h of a plain cell with one-hot inputs, in float64."""
    logits = []
    for numbers in x:
        h = np.tanh(weights["W"][numbers] + h @ weights["U"] + weights["b"])
        logits.append(h @ weights["V"] + weights["c"])
    return np.array(logits), h


def test_updates_are_those_of_a_program_in_numpy(text: str, tmp_path: Path) -> None:
    """Plain cell, gradient descent: gradients by hand through time, from a state that goes on but is not gone back through."""
    settings = {"cell": "rnn", "embedding": 0, "optimizer": OptimizerConfig("sgd", 0.5, max_grad_norm=0.4)}
    plugin = model(text, tmp_path, **settings)
    names = ("W", "U", "b", "V", "c")
    weights = dict(zip(names, (v.numpy().astype(np.float64) for v in plugin.variables), strict=True))
    h, (T, B) = np.zeros((3, 6)), (4, 3)
    clipped = 0
    for k in range(4):
        window = plugin._window(k)[0]
        x, y = window[:-1], window[1:]
        hs, before = [], h
        for numbers in x:
            h = np.tanh(weights["W"][numbers] + h @ weights["U"] + weights["b"])
            hs.append(h)
        logits = np.array(hs) @ weights["V"] + weights["c"]
        p = np.exp(logits - logits.max(axis=2, keepdims=True))
        p /= p.sum(axis=2, keepdims=True)
        rows = np.ogrid[:T, :B]
        loss = -np.log(p[rows[0], rows[1], y]).mean()
        p[rows[0], rows[1], y] -= 1
        p /= T * B  # d loss / d logits
        grad = {name: np.zeros_like(value) for name, value in weights.items()}
        dh = np.zeros((B, 6))
        for t in reversed(range(T)):
            grad["V"] += hs[t].T @ p[t]
            grad["c"] += p[t].sum(axis=0)
            dz = (p[t] @ weights["V"].T + dh) * (1 - hs[t] ** 2)
            np.add.at(grad["W"], x[t], dz)
            grad["U"] += (hs[t - 1] if t else before).T @ dz
            grad["b"] += dz.sum(axis=0)
            dh = dz @ weights["U"].T
        norm = np.sqrt(sum(float((g**2).sum()) for g in grad.values()))
        clipped += norm > 0.4
        for name in names:
            weights[name] -= 0.5 * grad[name] * min(1, 0.4 / norm)
        assert float(plugin.step()["loss/total"]) == pytest.approx(loss, rel=1e-5)
        for name, v in zip(names, plugin.variables, strict=True):
            np.testing.assert_allclose(v, weights[name], atol=1e-5, err_msg=name)
        np.testing.assert_allclose(plugin.memory[0], h, atol=1e-5)
    assert clipped


def test_the_state_begins_with_zeros_in_every_epoch(text: str, tmp_path: Path) -> None:
    plugin = model(text, tmp_path, optimizer=OptimizerConfig("sgd", 1e-9))
    for part in plugin.memory:
        part.assign(np.full(part.shape, 3.0))
    window = plugin._window(plugin.windows)[0]
    plugin.clock = plugin.windows
    loss = float(plugin.step()["loss/total"])
    logits, _ = plugin.network.through(window[:-1], plugin._fresh(3))
    zeros = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(window[1:], logits))
    assert loss == pytest.approx(float(zeros), rel=1e-5)


def test_the_step_size_falls_after_some_epochs(text: str, tmp_path: Path) -> None:
    plugin = model(text, tmp_path, optimizer=OptimizerConfig("sgd", 2.0), decay=0.5, decay_after=2)
    rates = []
    for epoch in range(4):
        plugin.clock = epoch * plugin.windows
        rates.append(float(plugin.step()["optim/lr"]))
    assert rates == [2, 2, 1, 0.5]


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_single_steps_are_the_way_through_a_window(cell: Any) -> None:
    network = Network(7, CharRNNConfig(cell=cell, layers=2, units=5, embedding=3), seed=1)
    rng = np.random.default_rng(0)
    numbers = rng.integers(7, size=(6, 2)).astype(np.int32)
    state = [tf.constant(rng.normal(size=(2, 5)), tf.float32) for _ in network.parts]
    whole, last = network.through(numbers, state)
    for t, now in enumerate(numbers):
        logits, state = network(now, *state)
        np.testing.assert_allclose(logits, whole[t], atol=1e-5)
    for one, other in zip(state, last, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert network.parts == (["h_0", "c_0", "h_1", "c_1"] if cell == "lstm" else ["h_0", "h_1"])


# --- drawing and writing --------------------------------------------------------------------------------------------------


def chosen(p: list[float], u: float, temperature: float = 1.0, top_k: int = 0) -> int:
    logits = tf.constant(np.log([p]), tf.float32)
    return int(drawn(logits, tf.constant([u], tf.float32), tf.constant(temperature), tf.constant(top_k or len(p)))[0])


def test_a_symbol_by_its_cumulated_probability() -> None:
    p = [0.9, 0.01, 0.05, 0.04]  # without number 0: 0.1, 0.5, 0.4
    assert [chosen(p, u) for u in (0.0, 0.09, 0.11, 0.59, 0.61, 0.999, 1.0)] == [1, 1, 2, 2, 3, 3, 3]
    assert [chosen(p, u, top_k=2) for u in (0.0, 0.55, 0.56)] == [2, 2, 3]  # 5/9
    squared = 0.0001 / (0.0001 + 0.0025 + 0.0016)
    assert [chosen(p, squared + d, temperature=0.5) for d in (-0.001, 0.001)] == [1, 2]
    assert {chosen(p, u, temperature=0.0) for u in (0.0, 0.5, 0.999)} == {2} == {chosen(p, 0.9, top_k=1)}


def test_texts_are_drawn_by_the_networks_probabilities(text: str, tmp_path: Path) -> None:
    """Frequencies of the first character against the softmax behind the prompt; a text does not depend on how many there are."""
    plugin = model(text, tmp_path)
    logits, _ = plugin.network.through(plugin.symbols.encode("\n\nthe")[:, None], plugin._fresh(1))
    p = np.exp(logits[-1, 0]) * (np.arange(len(plugin.symbols)) > 0)
    written = plugin.write("the", 4000, 1, temperature=1.0, seed=3)
    found = np.bincount(plugin.symbols.encode("".join(written)), minlength=len(p)) / 4000
    assert np.abs(found - p / p.sum()).max() < 0.03
    few, many = plugin.write("the", 2, 20, temperature=0.7, seed=5), plugin.write("the", 5, 20, temperature=0.7, seed=5)
    assert few == many[:2] and len({*many}) == 5 and {len(one) for one in many} == {20}
    assert plugin.write("the", 2, 20, temperature=0.7, seed=6) != few
    assert len({*plugin.write("", 3, 9, temperature=0.0)}) == 1
    with pytest.raises(
        UsageError, match="the prompt has 'é', 'Z', which the text that was learned from has fewer than 10"
    ):
        plugin.write("éZ", 1, 5, temperature=1.0)


@pytest.mark.parametrize("unit", ["char", "word"])
def test_bits_are_those_of_single_predictions(text: str, tmp_path: Path, unit: Any) -> None:
    """One part instead of 32, so that the state goes through the whole text; of words the bits are shared by their characters."""
    plugin = model(text, tmp_path, unit=unit, rare=1, layers=2)
    some = plugin.text.held_out[:40]
    numbers = np.concatenate([plugin.symbols.encode("\n"), plugin.symbols.encode(some)])
    state, total = plugin._fresh(1), 0.0
    for now, following in itertools.pairwise(numbers):
        logits, state = plugin.network(np.array([now]), *state)
        total -= float(tf.nn.log_softmax(logits)[0, following])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("generative.char_rnn.model.ROWS", 1)
        assert plugin.bits(some) == pytest.approx(total / np.log(2) / 40, rel=1e-4)
    assert plugin.bits(some) == pytest.approx(total / np.log(2) / 40, rel=0.2)


def test_an_evaluation_measures_and_shows(text: str, tmp_path: Path) -> None:
    plugin = model(text, tmp_path)
    measured = plugin.evaluate()
    train, held_out = (plugin.symbols.encode(part) for part in (plugin.text.train, plugin.text.held_out))
    assert measured["eval/bits_of_ngrams"] == pytest.approx(ngram_bits(train, held_out, len(plugin.symbols), 2).mean())
    assert measured["eval/bits_per_character"] == pytest.approx(plugin.bits(plugin.text.held_out))
    assert measured["eval/brackets_held_out"] == 1 and 0 <= measured["eval/brackets"] <= 1
    lines = str(measured["eval/text"]).splitlines()
    assert all(line.startswith("    ") for line in lines if line)
    assert "Witten-Bell, 2 characters" in measured["eval/protocol"]


def test_it_learns_what_a_text_repeats(tmp_path: Path) -> None:
    """A dozen characters that follow each other: certain, but for the numbers."""
    (tmp_path / "a.txt").write_text("\n\n".join(f"{i:03d} abcdefghijkl (mnop)" for i in range(100)))
    settings = {
        "units": 24,
        "batch": 4,
        "steps": 25,
        "turn": 5,
        "optimizer": OptimizerConfig(lr=0.02, max_grad_norm=5.0),
    }
    plugin = model(f"text:{tmp_path / 'a.txt'}", tmp_path, **settings)
    before = plugin.bits(plugin.text.held_out)
    for _ in range(45):
        plugin.step()
    assert before > 4 and plugin.bits(plugin.text.held_out) < 1.2
    assert plugin.write("0", 1, 30, temperature=0.0)[0].count("abcdefghijkl (mnop)") >= 1
    assert plugin.evaluate()["eval/brackets_ratio"] > 0.5


# --- settings and runs ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_killed_run_goes_on_with_its_state(text: str, tmp_path: Path) -> None:
    """Trained in one go and with a stop in between: the same weights, and the same state between windows."""
    found = []
    for until in ([6], [3, 6]):
        settings = {"model": {"data.source": text, **SMALL}}
        run = train("char-rnn", settings, until=until[0], folder=tmp_path / str(len(until)), quiet=True)
        for more in until[1:]:
            run = run.resume(until=more, quiet=True)
        places = checkpoint.leaves(checkpoint.numbered(run.path)[0])
        found.append({place: value for place, value in places.items() if isinstance(value, np.ndarray)})
    assert found[0].keys() == found[1].keys()
    for key, array in found[0].items():
        np.testing.assert_array_equal(array, found[1][key])
    memory = [array for key, array in found[0].items() if "memory" in key]
    assert len(memory) == 2 and all(np.abs(array).max() > 0 for array in memory)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"units": 0}, "units is 0; it must be at least 1"),
        ({"embedding": -1}, "embedding is -1; it must be 0 or more"),
        ({"temperature": -0.5}, "temperature is -0.5; it must be 0 or more"),
        ({"order": 30}, "order is 30; it must lie between 0 and 20"),
        ({"decay": 0.0}, "decay is 0; it must be above 0 and at most 1"),
        (
            {"decay": 0.5, "optimizer": OptimizerConfig(lr_schedule="linear", lr_steps=5)},
            "decay is 0.5 and optimizer.lr_schedule 'linear'; choose one",
        ),
    ],
)
def test_settings_out_of_range_get_a_sentence(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        replace(CharRNNConfig(), **settings)
    assert sentence in str(caught.value)


def test_a_text_shorter_than_a_batch_gets_a_sentence(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"batch is 1000 and steps 64; the text has only .* less than their product"):
        model(text, tmp_path, batch=1000, steps=64)
    shutil.rmtree(tmp_path / "files")
