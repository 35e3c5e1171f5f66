"""Calls of small traced functions, without what TensorFlow does in Python around each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

__all__ = ["direct"]


def direct(function: Any) -> Callable[..., Sequence[tf.Tensor]]:
    """Return a concrete function as one of its tensors in order, with those of its result in order, flat.

    TensorFlow's own call binds arguments by name, compares their types with the signature and packs the result again: 0.1 ms, as
    long as the update of a small network takes. So the caller vouches for dtypes and shapes. No gradient tape sees the call.
    """
    inference = getattr(function, "inference_fn", None)
    if inference is None:  # TensorFlow does not document this entry
        return lambda *tensors: tf.nest.flatten(function(*tensors))
    captured = function.captured_inputs
    return lambda *tensors: inference.call_flat(*tensors, *captured)
