"""Recurrent cells: by hand, beside Keras, and (slow) beside PyTorch with its gradients."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from core.layers.recurrent import RecurrentCell
from core.mirror import Mirror

T, N, D, H = 7, 3, 5, 4
KINDS = ["lstm", "gru"]


def cell(kind: str) -> RecurrentCell:
    """A cell with weights away from their start, biases too."""
    layer, rng = RecurrentCell(kind, H, seed=3), np.random.default_rng(1)
    layer.build((None, D), *[(None, H)] * len(layer.parts))
    for v in layer.weights:
        v.assign(rng.normal(0, 0.7, v.shape))
    return layer


def sequences() -> tuple[np.ndarray, np.ndarray]:
    """x [T, N, D], and starts [T, N] of episodes: none in the first column."""
    start = np.zeros((T, N), bool)
    start[0, 1] = start[3, 1] = start[4, 1] = start[T - 1, 2] = True
    return np.random.default_rng(0).normal(size=(T, N, D)).astype(np.float32), start


def state(kind: str) -> list[np.ndarray]:
    return list(np.random.default_rng(2).normal(size=(2 if kind == "lstm" else 1, N, H)).astype(np.float32))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_a_step_of_an_lstm_by_hand() -> None:
    """One unit: x = 2, h = 0.5, c = -1; the mirror and the layer."""
    layer = RecurrentCell("lstm", 1, seed=0)
    layer.build((None, 1), (None, 1), (None, 1))
    assert layer.bias.numpy().tolist() == [0, 1, 0, 0]  # the forget gate stands open at the start
    layer.kernel.assign([[0.1, 0.2, 0.3, 0.4]])
    layer.recurrent_kernel.assign([[-1.0, 2.0, 0.5, 1.0]])
    layer.bias.assign([0.5, -0.5, 0.25, 0.0])
    i, f, o = sigmoid(0.2 - 0.5 + 0.5), sigmoid(0.4 + 1.0 - 0.5), sigmoid(0.8 + 0.5)
    g = math.tanh(0.6 + 0.25 + 0.25)
    c = f * -1 + i * g
    given = [np.array([[number]], np.float32) for number in (2.0, 0.5, -1.0)]
    (mirrored,) = Mirror(cells=[layer]).cells
    for after in (mirrored(given[0], given[1:]), layer(*given)):
        np.testing.assert_allclose(np.ravel(after), [o * math.tanh(c), c], rtol=1e-6)


def test_a_step_of_a_gru_by_hand() -> None:
    layer = RecurrentCell("gru", 1, seed=0)
    layer.build((None, 1), (None, 1))
    layer.kernel.assign([[0.1, 0.2, 0.3]])
    layer.recurrent_kernel.assign([[-1.0, 2.0, 0.5]])
    layer.bias.assign([[0.5, -0.5, 0.25], [0.1, 0.2, -0.3]])
    z, r = sigmoid(0.2 + 0.5 - 0.5 + 0.1), sigmoid(0.4 - 0.5 + 1.0 + 0.2)
    n = math.tanh(0.6 + 0.25 + r * (0.25 - 0.3))
    given = [np.array([[number]], np.float32) for number in (2.0, 0.5)]
    (mirrored,) = Mirror(cells=[layer]).cells
    for after in (mirrored(given[0], given[1:]), layer(*given)):
        np.testing.assert_allclose(np.ravel(after), [z * 0.5 + (1 - z) * n], rtol=1e-6)


def test_a_step_of_a_plain_cell_by_hand() -> None:
    layer = RecurrentCell("rnn", 1, seed=0)
    layer.build((None, 1), (None, 1))
    layer.kernel.assign([[0.1]])
    layer.recurrent_kernel.assign([[-1.0]])
    layer.bias.assign([0.25])
    (h,) = layer(np.array([[2.0]], np.float32), np.array([[0.5]], np.float32))
    np.testing.assert_allclose(h, [[math.tanh(0.2 - 0.5 + 0.25)]], rtol=1e-6)


@pytest.mark.parametrize("kind", [*KINDS, "rnn"])
def test_the_way_through_a_window_and_its_gradients_are_those_of_single_steps(kind: str) -> None:
    layer, (x, _), before = cell(kind), sequences(), state(kind)
    weight = np.random.default_rng(5).normal(size=(T, N, H)).astype(np.float32)
    found = []
    for by_steps in (False, True):
        given = [tf.constant(x), *map(tf.constant, before)]
        with tf.GradientTape() as tape:
            tape.watch(given)
            if by_steps:
                after, outputs = tuple(given[1:]), []
                for t in range(T):
                    after = layer(given[0][t], *after)
                    outputs.append(after[0])
                h = tf.stack(outputs)
            else:
                h, after = layer.through(*given)
            loss = tf.reduce_sum(weight * h) + tf.reduce_sum(weight[0] * after[-1] ** 2)
        found.append([h, *after, *tape.gradient(loss, [*given, *layer.trainable_variables])])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_is_that_of_keras_and_of_the_mirror(kind: str) -> None:
    layer, (x, _), before = cell(kind), sequences(), state(kind)
    theirs = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[kind](H, return_sequences=True)
    theirs.build((N, T, D))
    theirs.set_weights(layer.get_weights())
    expected = theirs(x.swapaxes(0, 1), initial_state=[tf.constant(s) for s in before]).numpy().swapaxes(0, 1)
    never = tf.zeros((T, N), bool)
    np.testing.assert_allclose(layer.over_time(x, never, *map(tf.constant, before)), expected, atol=1e-6)
    (mirrored,) = Mirror(cells=[layer]).cells
    h: tuple = tuple(before)
    for t in range(T):
        h = mirrored(x[t], h)
        np.testing.assert_allclose(h[0], expected[t], atol=1e-6)
        assert h[0].dtype == np.float32


@pytest.mark.parametrize("kind", KINDS)
def test_an_episode_begins_with_zeros_in_the_middle_of_a_sequence(kind: str) -> None:
    layer, (x, start), before = cell(kind), sequences(), state(kind)
    outputs = layer.over_time(x, tf.constant(start), *map(tf.constant, before)).numpy()
    assert np.abs(outputs - layer.over_time(x, tf.zeros((T, N), bool), *map(tf.constant, before))).max() > 0.1
    for n in range(N):  # each column by itself, cut at its starts
        h = [s[n : n + 1] for s in before]
        for t in range(T):
            h = [np.zeros_like(s) for s in h] if start[t, n] else h
            h = [s.numpy() for s in layer(x[t, n : n + 1], *h)]
            np.testing.assert_allclose(outputs[t, n], h[0][0], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mirror_takes_cells_and_chains_from_one_vector(kind: str) -> None:
    layer, head = cell(kind), keras.layers.Dense(2)
    head.build((None, H))
    mirror = Mirror([head], cells=[layer])
    for v in (*layer.weights, *head.weights):
        v.assign_add(np.full(v.shape, 0.1))
    (x, _), before = sequences(), state(kind)
    h = layer(x[0], *before)
    assert not np.allclose(mirror.cells[0](x[0], before)[0], h[0], atol=1e-4)
    for update in (lambda: mirror.take(mirror.theta().numpy()), mirror.copy):
        update()
        mirrored = mirror.cells[0](x[0], before)
        np.testing.assert_allclose(mirrored[0], h[0], atol=1e-6)
        np.testing.assert_allclose(mirror.chains[0](mirrored[0]), head(h[0]), atol=1e-6)
    assert not Mirror([keras.layers.BatchNormalization()], cells=[layer]).cells  # all or nothing


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_through_a_sequence_are_those_of_pytorch(kind: str) -> None:
    torch = pytest.importorskip("torch")
    layer, (x, start), before = cell(kind), sequences(), state(kind)
    weight = np.random.default_rng(5).normal(size=(T, N, H)).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch(inputs := tf.constant(x))
        loss = tf.reduce_sum(weight * layer.over_time(inputs, tf.constant(start), *map(tf.constant, before)))
    dx, *gradient = tape.gradient(loss, [inputs, *layer.trainable_variables])

    theirs = {"lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell}[kind](D, H)
    order = {"lstm": [0, 1, 2, 3], "gru": [1, 0, 2]}[kind]  # PyTorch's gates are i f g o and r z n

    def gates(array: np.ndarray) -> np.ndarray:
        parts = np.split(array, len(order), axis=-1)
        return np.concatenate([parts[k] for k in order], axis=-1)

    kernel, recurrent, bias = (gates(v.numpy()) for v in layer.weights)
    biases = bias if kind == "gru" else np.stack([bias, np.zeros_like(bias)])
    with torch.no_grad():
        for parameter, value in zip(theirs.parameters(), [kernel.T, recurrent.T, *biases], strict=True):
            parameter.copy_(torch.tensor(value))
    given, h = torch.tensor(x, requires_grad=True), [torch.tensor(s) for s in before]
    total = 0.0
    for t in range(T):
        h = [torch.tensor(~start[t, :, None]).float() * s for s in h]
        after = theirs(given[t], tuple(h) if kind == "lstm" else h[0])
        h = list(after) if kind == "lstm" else [after]
        total = total + (torch.tensor(weight[t]) * h[0]).sum()
    total.backward()
    np.testing.assert_allclose(float(loss), float(total), rtol=1e-5)
    np.testing.assert_allclose(dx, given.grad, atol=1e-5)
    weight_ih, weight_hh, bias_ih, bias_hh = (p.grad.numpy() for p in theirs.parameters())
    np.testing.assert_allclose(gates(gradient[0].numpy()), weight_ih.T, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gates(gradient[1].numpy()), weight_hh.T, rtol=1e-4, atol=1e-5)
    expected = bias_ih if kind == "lstm" else np.stack([bias_ih, bias_hh])
    np.testing.assert_allclose(gates(gradient[2].numpy()), expected, rtol=1e-4, atol=1e-5)
