"""Spectra of pictures and of what a picture lacks: patterns that a network's grid leaves, and energy at high frequencies."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

__all__ = ["BINS", "PATTERN", "high_energy", "pattern", "power_spectrum"]

BINS = 8  # frequencies from one multiple of 1 / scale to the next
NEAR = (-3, -2, 2, 3)  # neighbours of a frequency: the window blurs a line into the first ones beside it
PATTERN = (
    "pattern is the largest power of the difference to the truth at the frequencies k / scale as a multiple of the median of its "
    "neighbours (1: none)"
)


def power_spectrum(x: np.ndarray, side: int) -> np.ndarray:
    """Return the mean power [side, side, C] of the patches of x [H, W, C] at the frequencies (i / side, j / side).

    Patches of `side` pixels overlap by half, lose their mean and are weighted by a periodic Hann window on both axes (Welch,
    1967). White noise of variance v has the power v (3 side / 8)^2 everywhere, a wave a cos(2 pi i y / side) over all of x
    a^2 (side / 2)^4 / 4 at (i, 0). Raises ValueError where no patch fits.
    """
    if x.ndim != 3 or min(x.shape[:2]) < side:
        raise ValueError(f"x is {list(x.shape)}; [H, W, C] of at least {side} pixels a side is needed")
    hann = np.sin(np.pi * np.arange(side) / side) ** 2
    patches = sliding_window_view(x.astype(np.float64), (side, side), axis=(0, 1))  # a view [h, w, C, side, side]
    total = np.zeros((x.shape[2], side, side))
    rows = range(0, len(patches), side // 2)
    for i in rows:
        row = patches[i, :: side // 2]  # [n, C, side, side]
        row = (row - row.mean(axis=(2, 3), keepdims=True)) * hann * hann[:, None]
        total += (np.abs(np.fft.fft2(row)) ** 2).mean(axis=0)
    return np.moveaxis(total / len(rows), 0, 2)


def pattern(truth: np.ndarray, x: np.ndarray, scale: int) -> np.ndarray | None:
    """Return how strongly x shows the grid of a network that enlarges by `scale`, per colour channel [C]; None where too small.

    What repeats with every pixel of the small picture has the frequencies (k / scale, l / scale), both together not 0. The
    power of truth - x there is divided by the median over its neighbours, the frequencies two and three steps of
    1 / (8 scale) away along each axis on which it is not 0; the largest of these ratios counts. Without a pattern all are
    about 1, the closer the more patches; a picture has at least 16, 20 scale pixels a side.
    """
    side = BINS * scale
    if min(truth.shape[:2]) < 5 * side // 2:
        return None
    power = power_spectrum(truth.astype(np.float64) - x, side)
    ratios = []
    for k in range(scale):
        for m in range(scale // 2 + 1):  # the other half is the same: the difference is real
            at, along = np.array([BINS * k, BINS * m]), [axis for axis, n in enumerate((k, m)) if n]
            near = [tuple((at + step * np.eye(2, dtype=int)[axis]) % side) for axis in along for step in NEAR]
            if near:
                median = np.median([power[place] for place in near], axis=0)
                ratios.append(power[tuple(at)] / np.maximum(median, np.finfo(float).tiny))
    return np.max(ratios, axis=0)


def high_energy(x: np.ndarray, scale: int) -> float | None:
    """Return the energy of x [H, W] above the frequency 1 / (2 scale) on either axis, which a picture `scale` times smaller
    cannot hold: a mean over patches in squares of x's unit; None where x is too small."""
    side = BINS * scale
    if min(x.shape) < side:
        return None
    power = power_spectrum(x[..., None], side)[..., 0]
    frequency = np.abs(np.fft.fftfreq(side))
    high = np.maximum(frequency[:, None], frequency) > 1 / (2 * scale)
    # of white noise: its variance times the share of high ones
    return float(power[high].sum() / (3 * side / 8) ** 2 / side**2)
