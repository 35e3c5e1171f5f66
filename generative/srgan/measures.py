"""What is measured of an enlarged picture beside the true one."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from core.metrics.image_quality import luma, quality
from core.metrics.niqe import NaturalModel, fit_model, niqe, read_model
from core.metrics.spectrum import high_energy, pattern
from generative.data.found import user_path
from generative.srgan.data import bundled_photos

__all__ = ["measures", "natural_model", "naturalness"]


@lru_cache(maxsize=2)
def natural_model(path: str = "") -> tuple[NaturalModel, str]:
    """Return the model that NIQE compares with, of a file or of the bundled photographs to train on, and what it is.

    Raises UsageError for a file that holds none.
    """
    if path:
        return read_model(user_path(path)), f"NIQE with the model {user_path(path).name}"
    photos = bundled_photos()
    what = f"NIQE with a model of {len(photos)} bundled photographs, not comparable with published values"
    return fit_model(photo.read() for photo in photos), what


def naturalness(picture: np.ndarray, model: NaturalModel, scale: int) -> dict[str, float]:
    """Return NIQE of a picture without its border, where it is large enough for that."""
    value = niqe(picture[scale:-scale, scale:-scale], model)
    return {} if value is None else {"niqe": value}


def measures(truth: np.ndarray, made: np.ndarray, scale: int, model: NaturalModel | None = None) -> dict[str, float]:
    """Return what `quality` does of two pictures [H, W, 3] uint8, the pattern per colour channel, the energy of Y at high
    frequencies as a share of the truth's, and NIQE if there is a model for it; what pictures are too small for is left out."""
    inner = slice(scale, -scale)
    truth_inner, made_inner = truth[inner, inner], made[inner, inner]
    values = quality(truth, made, scale)
    patterns = pattern(truth_inner, made_inner, scale)
    energy, true_energy = (high_energy(luma(x), scale) for x in (made_inner, truth_inner))
    if patterns is not None:
        values |= {f"pattern_{c}": float(p) for c, p in zip(("red", "green", "blue"), patterns, strict=True)}
    if energy is not None and true_energy:
        values["high_energy"] = energy / true_energy
    return values if model is None else values | naturalness(made, model, scale)
