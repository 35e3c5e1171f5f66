"""PSNR, SSIM and luma against scikit-image and against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import rgb2ycbcr
from skimage.data import astronaut
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from core.metrics.image_quality import luma, psnr, quality, ssim


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    x = astronaut()[100:180, 150:250]
    noise = np.random.default_rng(0).normal(0, 12, x.shape)
    return x, np.clip(x + noise, 0, 255).astype(np.uint8)


def test_luma_is_that_of_bt601_from_16_to_235(pair) -> None:
    x, _ = pair
    np.testing.assert_allclose(luma(x), rgb2ycbcr(x)[..., 0], atol=1e-9)
    corners = luma(np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0]], np.uint8))
    np.testing.assert_allclose(corners, [16, 235, 81.481], atol=1e-3)


def test_psnr_by_hand_and_beside_scikit_image(pair) -> None:
    x, y = pair
    assert psnr(np.zeros(4), np.array([0, 0, 0, 10.0])) == pytest.approx(10 * np.log10(255**2 / 25))
    assert psnr(x, x) == float("inf")
    assert psnr(x, y) == pytest.approx(peak_signal_noise_ratio(x, y, data_range=255), abs=1e-9)


def test_ssim_beside_scikit_image(pair) -> None:
    x, y = pair
    settings = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    assert ssim(x, y) == pytest.approx(structural_similarity(x, y, channel_axis=2, **settings), abs=1e-9)
    assert ssim(luma(x), luma(y)) == pytest.approx(structural_similarity(luma(x), luma(y), **settings), abs=1e-9)
    assert ssim(x, x) == pytest.approx(1)


def test_quality_states_channel_and_border(pair) -> None:
    x, y = pair
    y = y.copy()
    y[:4], y[-4:], y[:, :4], y[:, -4:] = 0, 0, 0, 0  # what is cut off counts for nothing
    measured = quality(x, y, border=4)
    inner = (slice(4, -4), slice(4, -4))
    assert measured["psnr_y"] == pytest.approx(peak_signal_noise_ratio(luma(x[inner]), luma(y[inner]), data_range=255))
    assert measured["psnr_rgb"] == pytest.approx(peak_signal_noise_ratio(x[inner], y[inner], data_range=255))
    assert measured["psnr_y"] > measured["psnr_rgb"] + 1, "noise that differs between channels averages out in Y"
    assert quality(x, y, border=0)["psnr_y"] < measured["psnr_y"] - 3
    assert 0 < measured["ssim_rgb"] < 1 and 0 < measured["ssim_y"] < 1


def test_pictures_that_cannot_be_compared(pair) -> None:
    x, y = pair
    with pytest.raises(ValueError, match="must be the same"):
        psnr(x, y[:-1])
    with pytest.raises(ValueError, match="uint8"):
        quality(x / 255, y / 255, 4)
    with pytest.raises(ValueError, match="at least 11"):
        ssim(x[:8], y[:8])
