"""What is measured of an enlarged picture beside the true one."""

from __future__ import annotations

import numpy as np

from core.metrics.image_quality import luma, quality
from core.metrics.spectrum import high_energy, pattern

__all__ = ["measures"]


def measures(truth: np.ndarray, made: np.ndarray, scale: int) -> dict[str, float]:
    """Return what `quality` does of two pictures [H, W, 3] uint8, the pattern per colour channel, and the energy of Y at high
    frequencies as a share of the truth's; the latter where the pictures are large enough."""
    inner = slice(scale, -scale)
    truth_inner, made_inner = truth[inner, inner], made[inner, inner]
    values = quality(truth, made, scale)
    patterns = pattern(truth_inner, made_inner, scale)
    energy, true_energy = (high_energy(luma(x), scale) for x in (made_inner, truth_inner))
    if patterns is not None:
        values |= {f"pattern_{c}": float(p) for c, p in zip(("red", "green", "blue"), patterns, strict=True)}
    if energy is not None and true_energy:
        values["high_energy"] = energy / true_energy
    return values
