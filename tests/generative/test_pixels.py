"""Bytes and numbers in [-1, 1]: every byte comes back, and what lies outside is cut off."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from generative.data.pixels import as_bytes, as_input, as_pictures, scaled


def test_every_byte_comes_back() -> None:
    every = np.arange(256, dtype=np.uint8)
    x = as_input(tf.constant(every))
    assert x.dtype == tf.float32 and float(x[0]) == -1 and float(x[255]) == 1
    np.testing.assert_array_equal(as_bytes(x), every)
    np.testing.assert_array_equal(as_pictures(np.asarray(x)), every)
    np.testing.assert_array_equal(scaled(every.astype(np.float32)), x)


def test_outputs_beyond_the_range_are_cut_off_and_points_stay() -> None:
    x = np.array([-1.5, -1.0, 0.001, 1.0, 7.0], np.float32)
    assert as_pictures(x).tolist() == as_bytes(tf.constant(x)).numpy().tolist() == [0, 0, 128, 255, 255]
    points = tf.constant([[0.3, -4.0]])
    assert as_input(points) is points
