"""Bytes and what networks take and make of them, numbers in [-1, 1]: -1 is byte 0, 1 is byte 255."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import tensorflow as tf

__all__ = ["as_bytes", "as_input", "as_pictures", "scaled"]

Floats = TypeVar("Floats", tf.Tensor, np.ndarray)


def scaled(x: Floats) -> Floats:
    """Return values 0 ... 255 that are floats already as values -1 ... 1."""
    return x / 127.5 - 1.0


def as_input(x: tf.Tensor) -> tf.Tensor:
    """Return data as a network takes it: bytes as float32 in [-1, 1], points as they are."""
    return scaled(tf.cast(x, tf.float32)) if x.dtype == tf.uint8 else x


def as_bytes(x: tf.Tensor) -> tf.Tensor:
    """Return network outputs in [-1, 1] as uint8, the nearest, inside a graph."""
    return tf.cast(tf.clip_by_value(tf.round((x + 1.0) * 127.5), 0.0, 255.0), tf.uint8)


def as_pictures(x: np.ndarray) -> np.ndarray:
    """Return network outputs in [-1, 1] as uint8, the nearest."""
    return np.clip(np.round((x + 1) * 127.5), 0, 255).astype(np.uint8)
