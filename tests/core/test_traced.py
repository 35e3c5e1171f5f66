from __future__ import annotations

import gc

import numpy as np
import pytest
import tensorflow as tf

from core.traced import direct


@pytest.mark.parametrize("jit_compile", [True, False])
def test_a_direct_call_returns_the_flat_result_and_moves_variables(jit_compile: bool) -> None:
    v = tf.Variable([1.0, 2.0])

    def add(x: tf.Tensor, n: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        v.assign_add(x)
        return v.value() * 2, {"a": n + 1, "b": x[0]}

    specs = [tf.TensorSpec((2,)), tf.TensorSpec((), tf.int64)]
    traced = tf.function(add, input_signature=specs, jit_compile=jit_compile).get_concrete_function()
    call = direct(traced)
    del traced
    gc.collect()
    for turn in (1, 2):
        doubled, a, b = call(tf.constant([1.0, 10.0]), tf.constant(7, tf.int64))
        np.testing.assert_allclose(doubled, [2 + 2 * turn, 4 + 20 * turn])
        assert int(a) == 8 and float(b) == 1.0
    np.testing.assert_allclose(v.numpy(), [3, 22])


def test_without_that_entry_the_call_is_tensorflows_own() -> None:
    traced = tf.function(lambda x: (x, [x + 1]), input_signature=[tf.TensorSpec(())]).get_concrete_function()
    one, two = direct(lambda x: traced(x))(tf.constant(1.0))
    assert (float(one), float(two)) == (1.0, 2.0)
