"""Dense layers in numpy, without TensorFlow: what a mirror of a network computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["ACTIVATIONS", "affine", "linear", "relu"]

Activation = Callable[[np.ndarray], np.ndarray]


def affine(x: Any, kernel: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    """Return x kernel + bias [B, units] float32, for x [B, inputs] float32, which may be sparse."""
    x = x @ kernel
    if bias is not None:
        x += bias
    return x


def relu(x: np.ndarray) -> np.ndarray:
    """Return max(x, 0), in place."""
    return np.maximum(x, 0, out=x)


def linear(x: np.ndarray) -> np.ndarray:
    """Return x."""
    return x


def _elu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def _tanh(x: np.ndarray) -> np.ndarray:
    return np.tanh(x, out=x)


ACTIVATIONS: dict[str, Activation] = {"relu": relu, "tanh": _tanh, "elu": _elu, "linear": linear}
"""By their names in Keras."""
