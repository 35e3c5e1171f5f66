"""NIQE, the naturalness of a picture without the true one (Mittal, Soundararajan and Bovik, 2013): lower is more natural.

Locally normalised brightness of photographs follows generalised Gaussians. 36 of their parameters are taken from every patch;
a model is their mean and covariance over sharp patches of good photographs, and NIQE the distance of a picture's from these.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.ndimage import correlate1d
from scipy.special import gamma

from core.errors import UsageError, nearest
from core.unreadable import UNREADABLE

__all__ = ["NaturalModel", "asymmetric_fit", "fit_model", "large_enough", "niqe", "normalised", "read_model"]

PATCH = 96  # pixels a side of a patch
SHARP = 0.75  # of the sharpest patch: those that a model is fitted to
FEATURES = 36
SHAPES = np.arange(0.2, 10.0005, 0.001)
RATIOS = gamma(2 / SHAPES) ** 2 / (gamma(1 / SHAPES) * gamma(3 / SHAPES))  # (E|x|)^2 / E x^2 of each shape, rising
TAPS = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
WINDOW = TAPS / TAPS.sum()
PAIRS = ((0, 1), (1, 0), (1, 1), (1, -1))  # neighbours whose products are fitted


class NaturalModel(NamedTuple):
    """Mean [36] and covariance [36, 36] of the features of photographs."""

    mean: np.ndarray
    covariance: np.ndarray


def niqe(rgb: np.ndarray, model: NaturalModel) -> float | None:
    """Return NIQE of a picture [H, W, 3] uint8, equation 10 of the paper; None where it holds fewer than two patches.

    Brightness is that of BT.601 in 0 ... 255; what is beyond whole patches is left out, on the right and below.
    """
    if not large_enough(rgb):
        return None
    features, _ = _features(rgb)
    difference = model.mean - features.mean(axis=0)
    covariance = (model.covariance + np.cov(features, rowvar=False)) / 2
    return float(np.sqrt(max(difference @ np.linalg.pinv(covariance) @ difference, 0.0)))


def large_enough(rgb: np.ndarray) -> bool:
    """Return whether a picture [H, W, 3] holds two patches, of which there is a covariance."""
    return (rgb.shape[0] // PATCH) * (rgb.shape[1] // PATCH) >= 2


def fit_model(photographs: Iterable[np.ndarray]) -> NaturalModel:
    """Return the model of photographs [H, W, 3] uint8: of the patches at least 0.75 as sharp as the picture's sharpest."""
    kept = []
    for photograph in photographs:
        features, sharpness = _features(photograph)
        if len(features):
            kept.append(features[sharpness > SHARP * sharpness.max()])
    features = np.concatenate(kept)
    return NaturalModel(features.mean(axis=0), np.cov(features, rowvar=False))


def read_model(path: Path) -> NaturalModel:
    """Return a model from an npz file with `mu_pris_param` [36] and `cov_pris_param` [36, 36]; pickles in it are not read.

    Raises UsageError for another file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise UsageError(f"niqe names {str(path)!r}, which holds one array; an .npz with two is needed")
            for name in ("mu_pris_param", "cov_pris_param"):
                if name not in file:
                    raise UsageError(f"niqe names {str(path)!r}, which has no {name!r}; {nearest(name, list(file))}")
            mean, covariance = (np.asarray(file[f"{name}_pris_param"], np.float64) for name in ("mu", "cov"))
    except UNREADABLE as error:
        raise UsageError(f"niqe names {str(path)!r}, which is no .npz file of arrays") from error
    if mean.size != FEATURES or covariance.shape != (FEATURES, FEATURES) or not np.isfinite(covariance).all():
        raise UsageError(
            f"niqe names {str(path)!r}, whose arrays are {list(mean.shape)} and {list(covariance.shape)}; [36] and [36, 36] are "
            "needed"
        )
    return NaturalModel(mean.reshape(FEATURES), covariance)


def normalised(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (x - mu) / (sigma + 1) and sigma of x [H, W], mu and sigma under a Gaussian of 7x7 pixels (equations 1 to 3)."""

    def mean(values: np.ndarray) -> np.ndarray:
        return correlate1d(correlate1d(values, WINDOW, axis=0, mode="nearest"), WINDOW, axis=1, mode="nearest")

    mu = mean(x)
    sigma = np.sqrt(np.abs(mean(x * x) - mu * mu))
    return (x - mu) / (sigma + 1), sigma


def asymmetric_fit(x: np.ndarray) -> tuple[float, float, float]:
    """Return shape, left and right scale of the asymmetric generalised Gaussian that fits x by moments (Lasmar et al., 2009).

    Its density falls as exp(-(|x| / scale)^shape) on each side of 0.
    """
    square = x * x
    left, right = (np.sqrt(square[side].mean()) if side.any() else 0.0 for side in (x < 0, x > 0))
    left, right = max(float(left), 1e-12), max(float(right), 1e-12)
    ratio, share = left / right, np.abs(x).mean() ** 2 / max(float(square.mean()), 1e-24)
    wanted = share * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    shape = float(SHAPES[np.abs(RATIOS - wanted).argmin()])
    scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, float(left * scale), float(right * scale)


def _features(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return features [N, 36] and sharpness [N] of a picture's patches, at its size and at half of it."""
    rows, columns = (n // PATCH for n in rgb.shape[:2])
    grey = rgb[: rows * PATCH, : columns * PATCH].astype(np.float64) @ [0.299, 0.587, 0.114]
    if not grey.size:
        return np.empty((0, FEATURES)), np.empty(0)
    half = Image.fromarray(grey.astype(np.float32)).resize(
        (grey.shape[1] // 2, grey.shape[0] // 2), Image.Resampling.BICUBIC
    )
    columns_of, sharpness = [], np.empty(0)
    for x, side in ((grey, PATCH), (np.asarray(half, np.float64), PATCH // 2)):
        values, sigma = normalised(x)
        patches = [
            (slice(i * side, (i + 1) * side), slice(j * side, (j + 1) * side))
            for i in range(rows)
            for j in range(columns)
        ]
        columns_of.append(np.array([_patch_features(values[patch]) for patch in patches]))
        if side == PATCH:
            sharpness = np.array([sigma[patch].mean() for patch in patches])
    return np.concatenate(columns_of, axis=1), sharpness


def _patch_features(x: np.ndarray) -> list[float]:
    """Return 18 features: shape and scale of the values, then shape, mean and both scales of products of four neighbours."""
    shape, left, right = asymmetric_fit(x)
    features = [shape, (left + right) / 2]
    for shift in PAIRS:
        shape, left, right = asymmetric_fit(x * np.roll(x, shift, (0, 1)))
        features += [shape, (right - left) * gamma(2 / shape) / gamma(1 / shape), left, right]
    return [float(value) for value in features]
