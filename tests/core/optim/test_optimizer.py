"""Every update rule by hand, beside Keras and PyTorch; clipping, accumulation, schedules, resume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from core import checkpoint
from core.optim.config import OptimizerConfig
from core.optim.optimizer import Optimizer, make_optimizer

START = np.array([1.0, -2.0, 0.5])
GRADIENTS = np.array([[0.3, -1.0, 2.0], [-0.2, 0.5, 1.0], [0.1, 3.0, -0.4]])
LR = 0.1


def run(config: OptimizerConfig, gradients: np.ndarray = GRADIENTS, *, jit: bool = False, **kwargs: Any) -> np.ndarray:
    """Return the weights [steps, 3] after each call."""
    w = keras.Variable(START, dtype="float32")
    optimizer = make_optimizer(config, [w], **kwargs)
    update = tf.function(lambda gradient: optimizer.apply([gradient], [w]), jit_compile=jit)
    weights = []
    for gradient in gradients:
        update(tf.constant(gradient, tf.float32))
        weights.append(np.array(w))
    return np.array(weights)


# --- by hand, in float64 ------------------------------------------------------------------------------------------------


def adam_by_hand(decay: float, l2: float) -> list[np.ndarray]:
    w, m, v, weights = START, np.zeros(3), np.zeros(3), []
    for t, g in enumerate(GRADIENTS, start=1):
        g = g + l2 * w
        w = w - LR * decay * w
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g**2
        m_hat, v_hat = m / (1 - 0.8**t), v / (1 - 0.9**t)
        w = w - LR * m_hat / np.sqrt(v_hat)
        weights.append(w)
    return weights


def rmsprop_by_hand(momentum: float, centered: bool) -> list[np.ndarray]:
    w, mean, square, step, weights = START, np.zeros(3), np.zeros(3), np.zeros(3), []
    for g in GRADIENTS:
        mean, square = 0.7 * mean + 0.3 * g, 0.7 * square + 0.3 * g**2
        step = momentum * step + LR * g / np.sqrt(square - (mean**2 if centered else 0) + 0.01)
        w = w - step
        weights.append(w)
    return weights


def adagrad_by_hand() -> list[np.ndarray]:
    w, s, weights = START, np.zeros(3), []
    for g in GRADIENTS:
        s = s + g**2
        w = w - LR * g / np.sqrt(s + 0.01)
        weights.append(w)
    return weights


def sgd_by_hand(momentum: float, nesterov: bool) -> list[np.ndarray]:
    w, b, weights = START, np.zeros(3), []
    for g in GRADIENTS:
        b = momentum * b + g
        w = w - LR * (g + momentum * b if nesterov else b)
        weights.append(w)
    return weights


def radam_by_hand(beta2: float) -> list[np.ndarray]:
    w, m, v, weights = START, np.zeros(3), np.zeros(3), []
    longest = 2 / (1 - beta2) - 1
    for t, g in enumerate(MANY, start=1):
        m, v = 0.8 * m + 0.2 * g, beta2 * v + (1 - beta2) * g**2
        m_hat, rho = m / (1 - 0.8**t), longest - 2 * t * beta2**t / (1 - beta2**t)
        if rho > 5:
            r = np.sqrt((rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho))
            w = w - LR * r * m_hat * np.sqrt((1 - beta2**t) / v)
        else:
            w = w - LR * m_hat
        weights.append(w)
    return weights


MANY = np.random.default_rng(0).normal(size=(9, 3))
ADAM: dict[str, Any] = {"lr": LR, "beta1": 0.8, "beta2": 0.9, "epsilon": 1e-12}
RMSPROP: dict[str, Any] = {"lr": LR, "rho": 0.7, "epsilon": 0.01}
BY_HAND: dict[str, tuple[OptimizerConfig, list[np.ndarray]]] = {
    "adam": (OptimizerConfig("adam", **ADAM), adam_by_hand(0, 0)),
    "adam with weight decay": (OptimizerConfig("adam", **ADAM, weight_decay=0.3), adam_by_hand(0, 0.3)),
    "adamw": (OptimizerConfig("adamw", **ADAM, weight_decay=0.3), adam_by_hand(0.3, 0)),
    "rmsprop": (OptimizerConfig("rmsprop", **RMSPROP), rmsprop_by_hand(0, False)),
    "rmsprop with momentum": (OptimizerConfig("rmsprop", **RMSPROP, momentum=0.6), rmsprop_by_hand(0.6, False)),
    "centred rmsprop": (OptimizerConfig("rmsprop", **RMSPROP, centered=True), rmsprop_by_hand(0, True)),
    "adagrad": (OptimizerConfig("adagrad", LR, epsilon=0.01), adagrad_by_hand()),
    "sgd": (OptimizerConfig("sgd", LR), sgd_by_hand(0, False)),
    "momentum": (OptimizerConfig("sgd", LR, momentum=0.6), sgd_by_hand(0.6, False)),
    "nesterov": (OptimizerConfig("sgd", LR, momentum=0.6, nesterov=True), sgd_by_hand(0.6, True)),
}


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("name", BY_HAND)
def test_three_steps_by_hand(name: str, jit: bool) -> None:
    config, expected = BY_HAND[name]
    np.testing.assert_allclose(run(config, jit=jit), expected, rtol=1e-5, atol=1e-6)


def test_the_rules_differ() -> None:
    ends = [expected[-1] for _, expected in BY_HAND.values()]
    assert all(np.abs(a - b).max() > 1e-3 for i, a in enumerate(ends) for b in ends[:i])


@pytest.mark.parametrize("beta2", [0.9, 0.999, 0.5])
def test_radam_by_hand(beta2: float) -> None:
    """Rectified from the sixth step on, or never where beta2 is small."""
    config = OptimizerConfig("radam", **{**ADAM, "beta2": beta2})
    np.testing.assert_allclose(run(config, MANY), radam_by_hand(beta2), rtol=1e-5, atol=1e-6)


PAIRS = {
    "adam": (OptimizerConfig("adam", LR, 0.5, 0.99), lambda: keras.optimizers.Adam(LR, 0.5, 0.99)),
    "rmsprop": (
        OptimizerConfig("rmsprop", LR, rho=0.95, epsilon=0.01),
        lambda: keras.optimizers.RMSprop(LR, rho=0.95, epsilon=0.01),
    ),
    "centred rmsprop": (
        OptimizerConfig("rmsprop", LR, rho=0.95, epsilon=1e-5, centered=True),
        lambda: keras.optimizers.RMSprop(LR, rho=0.95, epsilon=1e-5, centered=True),
    ),
}


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("name", PAIRS)
def test_numbers_and_state_are_those_of_keras(name: str, jit: bool) -> None:
    config, keras_own = PAIRS[name]
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(3, 4)), rng.normal(size=(5, 3, 4)) * 10.0 ** rng.integers(-4, 3, size=(5, 3, 4))
    found = []
    for make in (lambda w: make_optimizer(config, [w]), lambda w: keras_own()):
        w = keras.Variable(start, dtype="float32")
        optimizer = make(w)
        optimizer.build([w])
        update = traced(optimizer, w, jit)
        for gradient in gradients:
            update(tf.constant(gradient, tf.float32))
        found.append([np.array(w)] + [np.array(v) for v in optimizer.variables])
    assert len(found[0]) == len(found[1]) >= 4
    for mine, its in zip(*found, strict=True):
        np.testing.assert_allclose(mine, its, rtol=2e-5, atol=1e-7)


def traced(optimizer: Any, w: Any, jit: bool) -> Callable[[tf.Tensor], Any]:
    return tf.function(lambda gradient: optimizer.apply([gradient], [w]), jit_compile=jit)


@pytest.mark.slow
def test_numbers_are_those_of_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="the extra peers brings PyTorch")
    adam: dict[str, Any] = {"lr": LR, "beta1": 0.8, "beta2": 0.9, "epsilon": 1e-8}
    betas = {"lr": LR, "betas": (0.8, 0.9), "eps": 1e-8}
    pairs = [
        (OptimizerConfig("adam", **adam, weight_decay=0.3), torch.optim.Adam, {**betas, "weight_decay": 0.3}),
        (OptimizerConfig("adamw", **adam, weight_decay=0.3), torch.optim.AdamW, {**betas, "weight_decay": 0.3}),
        (OptimizerConfig("radam", **adam), torch.optim.RAdam, betas),
        (OptimizerConfig("radam", **adam, weight_decay=0.3), torch.optim.RAdam, {**betas, "weight_decay": 0.3}),
        (OptimizerConfig("sgd", LR), torch.optim.SGD, {"lr": LR}),
        (
            OptimizerConfig("sgd", LR, momentum=0.6, weight_decay=0.3),
            torch.optim.SGD,
            {"lr": LR, "momentum": 0.6, "weight_decay": 0.3},
        ),
        (
            OptimizerConfig("sgd", LR, momentum=0.6, nesterov=True),
            torch.optim.SGD,
            {"lr": LR, "momentum": 0.6, "nesterov": True},
        ),
    ]
    for config, peer, settings in pairs:
        w = torch.tensor(START, requires_grad=True)
        optimizer, expected = peer([w], **settings), []
        for gradient in MANY:
            w.grad = torch.tensor(gradient)
            optimizer.step()
            expected.append(w.detach().numpy().copy())
        np.testing.assert_allclose(run(config, MANY), expected, rtol=1e-5, atol=1e-6, err_msg=str(config))


# --- schedules, clipping, accumulation ----------------------------------------------------------------------------------


def test_the_schedule_follows_the_calls_or_the_clock_that_is_given() -> None:
    config = OptimizerConfig("sgd", 1.0, lr_schedule="linear", lr_steps=2, lr_end=0.1)
    ones = np.ones((4, 3))
    np.testing.assert_allclose(-np.diff(run(config, ones)[:, 0], prepend=1.0), [1, 0.55, 0.1, 0.1], rtol=1e-6)
    two = run(config, ones, calls_per_clock=2)  # a critic with two steps for one of the clock
    np.testing.assert_allclose(-np.diff(two[:, 0], prepend=1.0), [1, 1, 0.55, 0.55], rtol=1e-6)
    w = keras.Variable(START, dtype="float32")
    optimizer = make_optimizer(config, [w])
    optimizer.apply([tf.ones(3)], [w], clock=tf.constant(1, tf.int64))
    np.testing.assert_allclose(np.array(w), START - 0.55, rtol=1e-6)
    assert float(optimizer.learning_rate) == pytest.approx(0.55)


def test_a_constant_step_size_may_be_assigned() -> None:
    w = keras.Variable(START, dtype="float32")
    optimizer = make_optimizer(OptimizerConfig("sgd", 1.0), [w])
    optimizer.learning_rate.assign(0.25)
    optimizer.apply([tf.ones(3)], [w])
    np.testing.assert_allclose(np.array(w), START - 0.25)


def test_the_norm_is_over_all_weights() -> None:
    config = OptimizerConfig("sgd", 1.0, max_grad_norm=2.5)
    a, b = keras.Variable([0.0]), keras.Variable([0.0, 0.0])
    optimizer = make_optimizer(config, [a, b])
    optimizer.apply([tf.constant([3.0]), tf.constant([4.0, 0.0])], [a, b])  # norm 5: halved
    np.testing.assert_allclose([*np.array(a), *np.array(b)], [-1.5, -2.0, 0.0], rtol=1e-6)
    optimizer.apply([tf.constant([0.3]), tf.constant([0.4, 0.0])], [a, b])  # norm 0.5: as it is
    np.testing.assert_allclose([*np.array(a), *np.array(b)], [-1.8, -2.4, 0.0], rtol=1e-6)


def test_a_limit_for_each_entry_comes_before_that_of_the_norm() -> None:
    config = OptimizerConfig("sgd", 1.0, max_grad_value=3.0)
    gradients = np.array([[5.0, -4.0, 2.0], [0.1, -7.0, 0.0]])
    np.testing.assert_allclose(run(config, gradients)[0], START - [3, -3, 2])
    both = OptimizerConfig("sgd", 1.0, max_grad_value=3.0, max_grad_norm=2.0)  # of (3, -3, 0), whose norm is sqrt(18)
    np.testing.assert_allclose(run(both, np.array([[9.0, -9.0, 0.0]]))[0], START - [2**0.5, -(2**0.5), 0], rtol=1e-6)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_a_weight_without_gradient_stays() -> None:
    for settings in ({}, {"max_grad_norm": 1.0}, {"accumulate": 2}):
        a, b = keras.Variable([1.0]), keras.Variable([1.0])
        optimizer = make_optimizer(OptimizerConfig("sgd", 0.1, **settings), [a, b])
        for _ in range(2):
            optimizer.apply([None, tf.constant([1.0])], [a, b])
        assert float(a[0]) == 1.0 and float(b[0]) < 1.0


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("name", [*BY_HAND, "radam"])
def test_accumulated_gradients_are_the_big_batch(name: str, jit: bool) -> None:
    """Three calls are one update with the mean, clipped and decayed once; between updates nothing moves."""
    base = BY_HAND[name][0] if name in BY_HAND else OptimizerConfig("radam", **ADAM, weight_decay=0.1)
    settings = {**vars(base), "max_grad_norm": 0.8}
    whole = run(OptimizerConfig(**settings), MANY.reshape(3, 3, 3).mean(axis=1), jit=jit)
    parts = run(OptimizerConfig(**{**settings, "accumulate": 3}), MANY, jit=jit)
    np.testing.assert_allclose(parts[2::3], whole, rtol=1e-5, atol=1e-6)
    for between, before in ((parts[0:2], START), (parts[3:5], parts[2]), (parts[6:8], parts[5])):
        np.testing.assert_array_equal(between, np.broadcast_to(np.float32(before), (2, 3)))


def test_no_moment_moves_between_updates() -> None:
    w = keras.Variable(START, dtype="float32")
    optimizer = make_optimizer(OptimizerConfig("adam", accumulate=3), [w])
    for gradient in GRADIENTS[:2]:
        optimizer.apply([tf.constant(gradient, tf.float32)], [w])
    for slot in optimizer.slots.values():
        assert not np.array(slot[0]).any()
    optimizer.apply([tf.constant(GRADIENTS[2], tf.float32)], [w])
    np.testing.assert_allclose(np.array(optimizer.slots["momentum"][0]), 0.1 * GRADIENTS.mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize("name", ["adam", "radam", "rmsprop", "adagrad", "sgd"])
def test_a_resume_within_an_accumulation_goes_on_bit_for_bit(name: Any, tmp_path: Path) -> None:
    momentum = 0.9 if name in ("sgd", "rmsprop") else 0.0
    config = OptimizerConfig(name, 0.1, momentum=momentum, accumulate=3, lr_schedule="cosine", lr_steps=9)

    def fresh() -> tuple[keras.Variable, Optimizer]:
        w = keras.Variable(START, dtype="float32")
        return w, make_optimizer(config, [w])

    (w, optimizer), (copy, its) = fresh(), fresh()
    update, go_on = traced(optimizer, w, False), traced(its, copy, False)
    for gradient in MANY[:4]:  # one update, and the first of three gradients of the next
        update(tf.constant(gradient, tf.float32))
    path = checkpoint.save(tmp_path, f"{1:012d}", {"w": w, "optimizer": optimizer})
    checkpoint.load(path, {"w": copy, "optimizer": its})
    for gradient in MANY[4:]:
        update(tf.constant(gradient, tf.float32))
        go_on(tf.constant(gradient, tf.float32))
        np.testing.assert_array_equal(np.array(w), np.array(copy))
    assert np.abs(np.array(w) - START).max() > 0.01


def test_gradients_of_rows_are_added_where_rows_repeat() -> None:
    for settings in ({}, {"max_grad_norm": 100.0}, {"accumulate": 1}):
        table = keras.Variable(np.ones((4, 2)))
        optimizer = make_optimizer(OptimizerConfig("sgd", 0.1, **settings), [table])
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.gather(table.value, [2, 2, 0]))
        optimizer.apply([tape.gradient(loss, table.value)], [table])
        np.testing.assert_allclose(np.array(table), [[0.9, 0.9], [1, 1], [0.8, 0.8], [1, 1]], atol=1e-6)
