"""What an autoencoder is compared with and how it is drawn: median filters, weights as pictures, ways between two codes."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import median_filter

from core.metrics.image_quality import psnr

__all__ = ["best_median", "enlarged", "side_by_side", "way", "weights_as_pictures"]

SIDE = 84  # pixels of a picture's smaller side that it should have at least to be looked at
GAP, WHITE = 4, 255


def best_median(noisy: np.ndarray, clean: np.ndarray) -> tuple[np.ndarray, int]:
    """Return noisy pictures [N, H, W, C] through a median filter, and its side, 3 or 5: whichever comes nearer to the clean ones.

    At the border the outermost pixels are repeated.
    """
    made = {side: median_filter(noisy, size=(1, side, side, 1), mode="nearest") for side in (3, 5)}
    side = max(made, key=lambda side: psnr(made[side], clean))
    return made[side], side


def weights_as_pictures(kernel: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return what each unit looks for [H, h, w, C] uint8, for weights [h w C, H] over pictures of this shape, or [h, w, C, H].

    It is W_j / |W_j|, the input of norm 1 that the unit answers most (Ng, CS294A), stretched so that grey is 0 and the largest
    weight black or white.
    """
    weights = np.moveaxis(kernel.reshape(*(shape if kernel.ndim == 2 else kernel.shape[:-1]), -1), -1, 0)
    largest = np.abs(weights).max(axis=(1, 2, 3), keepdims=True)
    return np.round(127.5 + 127.5 * weights / np.maximum(largest, 1e-12)).astype(np.uint8)


def way(a: np.ndarray, b: np.ndarray, steps: int) -> np.ndarray:
    """Return `steps` points on the straight line from each row of a to that of b, both included, [N, D] -> [N, steps, D]."""
    t = np.linspace(0.0, 1.0, steps, dtype=np.float32)[:, None]  # [steps, 1]
    return (1.0 - t) * a[:, None] + t * b[:, None]


def side_by_side(columns: list[np.ndarray]) -> np.ndarray:
    """Return pictures [N, H, w, C] beside each other, a white line behind each, [N, H, w0 + 4 + w1 + 4 + ..., C]."""
    behind = ((0, 0), (0, 0), (0, GAP), (0, 0))
    return np.concatenate([np.pad(column, behind, constant_values=WHITE) for column in columns], axis=2)


def enlarged(pictures: np.ndarray) -> np.ndarray:
    """Return pictures [N, H, W, C] with each pixel repeated until the smaller side has 84."""
    times = max(1, -(-SIDE // min(pictures.shape[1:3])))
    return pictures.repeat(times, axis=1).repeat(times, axis=2)
