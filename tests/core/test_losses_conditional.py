"""Class losses against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from core.losses.conditional import class_nll


def test_class_nll_is_the_mean_negative_log_probability_of_the_class_asked_for() -> None:
    logits = tf.constant([[0.0, math.log(3.0)], [math.log(4.0), 0.0]])  # P = (1/4, 3/4) and (4/5, 1/5)
    c = tf.constant([1, 1])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = class_nll(logits, c)
    assert float(value) == pytest.approx(-(math.log(3 / 4) + math.log(1 / 5)) / 2, rel=1e-6)
    # (P - one-hot) / B
    np.testing.assert_allclose(tape.gradient(value, logits), [[1 / 8, -1 / 8], [2 / 5, -2 / 5]], atol=1e-6)


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError):
        class_nll(tf.zeros((3, 2)), tf.zeros(2, tf.int64))
