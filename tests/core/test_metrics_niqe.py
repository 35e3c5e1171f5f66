"""NIQE: fits against densities that they were drawn from, normalisation by hand, and what must be more natural than what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import gennorm
from skimage.data import astronaut, chelsea, coffee

from core.errors import UsageError
from core.metrics.niqe import NaturalModel, asymmetric_fit, fit_model, niqe, normalised, read_model


@pytest.mark.parametrize("shape", [0.8, 1.0, 2.0, 3.5])
def test_fits_find_the_density(shape: float) -> None:
    x = gennorm.rvs(shape, scale=1.7, size=200_000, random_state=1)
    found, left, right = asymmetric_fit(x)
    assert found == pytest.approx(shape, rel=0.03) and left == pytest.approx(1.7, rel=0.03)
    assert right == pytest.approx(1.7, rel=0.03)
    # two sides of different scales: a share scale / (sum of scales) of the values lies on each
    wide = np.where(np.random.default_rng(0).random(len(x)) < 3 / 4, np.abs(x) * 3, -np.abs(x))
    found, left, right = asymmetric_fit(wide)
    assert found == pytest.approx(shape, rel=0.04)
    assert left == pytest.approx(1.7, rel=0.04) and right == pytest.approx(5.1, rel=0.04)


def test_normalisation_by_hand() -> None:
    x = np.zeros((9, 9))
    x[4, 4] = 100.0
    weights = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
    middle = (weights[3] / weights.sum()) ** 2
    values, sigma = normalised(x)
    mu, deviation = 100 * middle, np.sqrt(1e4 * middle - (100 * middle) ** 2)
    assert sigma[4, 4] == pytest.approx(deviation) and values[4, 4] == pytest.approx((100 - mu) / (deviation + 1))
    assert values[0, 0] == 0 == sigma[0, 0], "out of the window's reach"


def test_photographs_are_more_natural_than_what_was_done_to_them() -> None:
    model = fit_model([coffee(), chelsea()])
    assert model.mean.shape == (36,) and model.covariance.shape == (36, 36)
    photo = astronaut()
    small = Image.fromarray(photo).resize((128, 128), Image.Resampling.BICUBIC)
    blurred = np.asarray(small.resize((512, 512), Image.Resampling.BICUBIC))
    noise = np.clip(photo + np.random.default_rng(0).normal(0, 25, photo.shape), 0, 255).astype(np.uint8)
    smooth = np.stack([gaussian_filter(photo[..., c], 3) for c in range(3)], axis=2)
    natural = niqe(photo, model)
    assert natural is not None and all(natural < niqe(x, model) - 1 for x in (blurred, noise, smooth))
    assert niqe(photo[:100, :150], model) is None and niqe(photo[:100, :192], model) is not None


def test_distance_is_mahalanobis() -> None:
    """With a covariance that is huge beside the picture's, NIQE is |difference| / sqrt(huge / 2)."""
    photo = chelsea()
    own = fit_model([photo])
    features = NaturalModel(own.mean, 1e8 * np.eye(36))
    assert niqe(photo, NaturalModel(features.mean + 3.0, features.covariance)) == pytest.approx(
        np.linalg.norm(3 * np.ones(36) + own.mean - _mean(photo)) / np.sqrt(1e8 / 2), rel=1e-3
    )


def _mean(photo: np.ndarray) -> np.ndarray:
    """The mean of the features, found by asking for the distance along each axis."""
    base = 1e8 * np.eye(36)
    squares = [niqe(photo, NaturalModel(100 * np.eye(36)[i], base)) ** 2 * 1e8 / 2 for i in range(36)]  # type: ignore[operator]
    origin = niqe(photo, NaturalModel(np.zeros(36), base)) ** 2 * 1e8 / 2  # type: ignore[operator]
    return (100.0**2 + origin - np.array(squares)) / 200


def test_models_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, mu_pris_param=np.arange(36.0)[None], cov_pris_param=np.eye(36))
    assert read_model(path).mean.tolist() == list(range(36))
    np.savez(path, mu=np.arange(36.0), cov_pris_param=np.eye(36))
    with pytest.raises(UsageError, match="has no 'mu_pris_param'"):
        read_model(path)
    np.savez(path, mu_pris_param=np.arange(35.0), cov_pris_param=np.eye(36))
    with pytest.raises(UsageError, match=r"\[35\] and \[36, 36\]; \[36\] and \[36, 36\] are needed"):
        read_model(path)
    np.savez(path, mu_pris_param=np.array([{}]), cov_pris_param=np.eye(36))
    with pytest.raises(UsageError, match=r"is no \.npz file of arrays"):
        read_model(path)
    path.write_bytes(b"no archive")
    for wrong in (path, tmp_path / "none.npz"):
        with pytest.raises(UsageError, match=r"is no \.npz file of arrays"):
            read_model(wrong)
