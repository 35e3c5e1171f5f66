"""Degradations against their definitions: kernels, the variance of noise, places of pixels, and seeded randomness."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import convolve, gaussian_filter
from skimage.data import chelsea

from generative.srgan.degradations import PASSES, Pass, blurred, compressed, degrade, gaussian_kernel, noisy, resized

NOISE = Pass(1.0, (1, 1), 0.0, 0.0, (1.0, 1.0), gaussian=20.0, poisson=2.0)


def test_kernels() -> None:
    one = gaussian_kernel(1.5, 1.5, 0.3)
    impulse = np.zeros((21, 21))
    impulse[10, 10] = 1
    np.testing.assert_allclose(one, gaussian_filter(impulse, 1.5, truncate=7), atol=1e-6)
    y, x = np.mgrid[-10:11, -10:11]
    wide = gaussian_kernel(2.0, 1.0, 0.0)
    assert (wide * x**2).sum() == pytest.approx(4, rel=1e-3) and (wide * y**2).sum() == pytest.approx(1, rel=1e-3)
    turned = gaussian_kernel(2.0, 1.0, np.pi / 4)  # covariance [[2.5, 1.5], [1.5, 2.5]]
    assert (turned * x * y).sum() == pytest.approx(1.5, rel=1e-3) and (turned * x**2).sum() == pytest.approx(
        2.5, rel=1e-3
    )


def test_blur_is_the_convolution() -> None:
    x = np.random.default_rng(0).uniform(0, 255, (30, 40, 3)).astype(np.float32)
    kernel = gaussian_kernel(2.0, 0.7, 0.5)
    expected = np.stack([convolve(x[..., c], kernel, mode="reflect") for c in range(3)], axis=2)
    np.testing.assert_allclose(blurred(x, kernel), expected, atol=1e-3)


def test_noise_has_the_variance_that_is_said() -> None:
    """Gaussian (0.5 * 20)^2 = 100 everywhere, Poisson (0.5 * 2)^2 x = x; both in one channel alike or in three apart."""
    x = np.broadcast_to(np.array([20.0, 80.0, 200.0], np.float32), (200, 200, 3))
    kinds = set()
    for seed in range(40):
        noise = noisy(x, NOISE, 0.5, np.random.default_rng(seed)) - x
        grey, gaussian = np.allclose(noise[..., 0], noise[..., 2], atol=1e-3), abs(noise[..., 0].var() - 100) < 5
        expected = (
            np.full(3, 100.0) if grey or gaussian else np.array([20, 80, 200])
        )  # grey Poisson noise is that of 100
        np.testing.assert_allclose(noise.var(axis=(0, 1)), expected, rtol=0.06)
        assert np.abs(noise.mean(axis=(0, 1))).max() < 0.4
        kinds.add((grey, expected[0] == 100))
    assert kinds == {(True, True), (False, True), (False, False)}
    np.testing.assert_array_equal(noisy(x, NOISE, 0.0, np.random.default_rng(0)), x)


def test_resizing_and_compression_are_pillows() -> None:
    picture = chelsea()[:40, :60]
    x = picture.astype(np.float32)
    small = resized(x, (20, 30), Image.Resampling.BOX)
    np.testing.assert_allclose(small, x.reshape(20, 2, 30, 2, 3).mean(axis=(1, 3)), atol=1e-3)
    assert resized(x, (40, 60), Image.Resampling.BICUBIC) is x
    errors = [np.abs(compressed(x, quality) - x).mean() for quality in (95, 60, 30)]
    assert 0 < errors[0] < errors[1] < errors[2] < 12
    assert compressed(x - 500, 95).max() < 10, "clipped, not wrapped round"


@pytest.mark.parametrize("order", PASSES)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_pixels_keep_their_places_and_strength_makes_it_worse(order, scale: int) -> None:
    picture = np.ascontiguousarray(chelsea()[:240, :360])
    small = Image.fromarray(picture).resize((360 // scale, 240 // scale), Image.Resampling.BICUBIC)
    smooth = gaussian_filter(np.asarray(small, np.float32).mean(axis=2), 3)
    errors = []
    for strength in (0.0, 1.0):
        made = [degrade(picture, scale, order, strength, np.random.default_rng(seed)) for seed in range(6)]
        assert {x.shape for x in made} == {(240 // scale, 360 // scale, 3)} and made[0].dtype == np.uint8
        mean = gaussian_filter(np.mean(made, axis=0).mean(axis=2), 3)
        shifted = [np.abs(np.roll(smooth, s, 1) - mean)[10:-10, 10:-10].mean() for s in (-1, 0, 1)]
        assert shifted[1] == min(shifted), "not moved by a pixel"
        errors.append(np.mean([np.abs(x.astype(float) - np.asarray(small)).mean() for x in made]))
    assert errors[1] > errors[0] + 2


def test_the_generator_decides_everything() -> None:
    picture = np.ascontiguousarray(chelsea()[:64, :64])
    one, same, other = (degrade(picture, 4, "second", 0.7, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
