"""Bicubic resampling with antialiasing as two products with a matrix, so that a graph can do it to whole batches."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

__all__ = ["bicubic_matrix", "downscale", "support"]

A = -0.5  # Keys's coefficient, as Pillow and MATLAB have it; OpenCV's is -0.75 and its filter does not widen


def bicubic_matrix(old: int, new: int) -> np.ndarray:
    """Return M [new, old] float32 such that M x resamples x [old] to [new] (Keys, 1981).

    When shrinking, the filter is widened by the factor, which is the antialiasing. Pixel centres lie at i + 0.5; at the
    ends the filter is cut off and its weights are scaled to sum 1, as Pillow does.
    """
    step = old / new
    wide = max(step, 1.0)
    centres = (np.arange(new) + 0.5) * step
    distance = (np.arange(old) + 0.5 - centres[:, None]) / wide  # [new, old]
    weights = _cubic(np.abs(distance))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def support(scale: int) -> int:
    """Return how many pixels of the large picture the filter reaches beyond the block that becomes one pixel: 1.5 blocks."""
    return 2 * scale


def downscale(x: tf.Tensor, scale: int, margin: int = 0, *, eight_bit: bool = False) -> tf.Tensor:
    """Return x [B, H, W, C] float32 made `scale` times smaller, [B, h, w, C], without its outer `margin` pixels.

    With `margin` support(scale) a crop comes out as the same crop of the whole picture made smaller: no border is invented.
    `eight_bit` rounds to 0 ... 255 after each of the two passes, as Pillow does with pictures of bytes.
    """
    height, width = x.shape[1:3]
    cut = margin // scale
    if margin % scale or height % scale or width % scale:
        raise ValueError(f"size {height}x{width} and margin {margin} must be multiples of the scale {scale}")
    rows, columns = (bicubic_matrix(n, n // scale)[cut : n // scale - cut] for n in (height, width))
    for equation, matrix in (("wW,bHWc->bHwc", columns), ("hH,bHwc->bhwc", rows)):
        x = tf.einsum(equation, tf.constant(matrix), x)
        x = tf.clip_by_value(tf.round(x), 0.0, 255.0) if eight_bit else x
    return x


def _cubic(x: np.ndarray) -> np.ndarray:
    near = ((A + 2) * x - (A + 3)) * x**2 + 1
    far = ((x - 5) * x + 8) * x * A - 4 * A
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
