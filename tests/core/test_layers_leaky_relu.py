"""Leaky ReLU that works its gradient out from its output: Keras's numbers, and graphs that TensorFlow can optimise."""

from __future__ import annotations

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from core.errors import UsageError
from core.layers.leaky_relu import LeakyReLU


@pytest.mark.parametrize("slope", [0.02, 0.2, 1.0])
def test_outputs_and_gradients_are_those_of_keras(slope: float) -> None:
    x = tf.constant([[-3.0, -0.5, 0.0, 0.5, 2.0]])
    weights = tf.constant([[1.0, -2.0, 3.0, -4.0, 5.0]])
    found = []
    for layer in (LeakyReLU(slope), keras.layers.LeakyReLU(slope)):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(weights * y**2)
        found.append((y, tape.gradient(loss, x)))
    for mine, its in zip(*found, strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-6)


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "graph"])
def test_second_derivatives_by_hand(wrap) -> None:
    """Of f(x) = lrelu(x w)^2, whose derivative in x is 2 a^2 w^2 x where x w < 0; that by w is 4 a^2 w x."""
    w, x = tf.Variable(3.0), tf.constant(-2.0)
    layer = LeakyReLU(0.5)

    def derivatives() -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = layer(x * w) ** 2
            slope = inner.gradient(y, x)
        return slope, outer.gradient(slope, w)

    slope, mixed = wrap(derivatives)()
    assert float(slope) == pytest.approx(2 * 0.25 * 9 * -2)
    assert float(mixed) == pytest.approx(4 * 0.25 * 3 * -2)


def test_a_slope_without_a_sign() -> None:
    for slope in (0.0, -0.1, 1.5):
        with pytest.raises(UsageError, match=rf"negative_slope is {slope}; it must lie in \(0, 1\]"):
            LeakyReLU(slope)


def test_it_comes_back_from_a_file(tmp_path) -> None:
    model = keras.Sequential([keras.Input((3,)), LeakyReLU(0.1)])
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert isinstance(loaded.layers[-1], LeakyReLU) and loaded.layers[-1].negative_slope == pytest.approx(0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "more", ["", " --model.norm none --model.r1 1 --model.r2 1"], ids=["first", "second derivatives"]
)
def test_training_prints_nothing_of_the_graph_optimiser(tmp_path, more: str) -> None:
    flags = (
        "--model.data.source digits --model.data.size 16 --model.batch 4 --model.width 2 --model.eval-samples 12" + more
    )
    command = [sys.executable, "-m", "experiments.run", "ragan", *flags.split(), "--run.until", "2"]
    loud = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run([*command, "--run.folder", str(tmp_path)], env=loud, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "remapper" not in done.stderr and "E0000" not in done.stderr, done.stderr
