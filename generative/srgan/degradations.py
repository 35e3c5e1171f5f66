"""What cameras and messengers do to pictures: blur, resizing, noise and JPEG, once or twice (Wang et al., 2021, Real-ESRGAN).

`degrade` makes small pictures out of large ones with random numbers of one generator alone. `strength` in [0, 1] is how bad
noise and compression are; the network is told, so that a user can say it (`upscale --denoise`).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

__all__ = ["PASSES", "Pass", "blurred", "compressed", "degrade", "gaussian_kernel", "noisy", "resized"]

REACH = 10  # pixels on each side of a blur kernel's middle
FILTERS = (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)  # area, bilinear, bicubic
ANISOTROPIC = 0.5  # share of blurs
GREY = 0.4  # share of noise that is the same in all channels
WORST, BEST = 30, 95  # quality of JPEG


@dataclass(frozen=True)
class Pass:
    """Ranges of one pass of blur, resizing, noise and compression; those of noise and compression are for strength 1."""

    blur: float
    """Share of pictures that are blurred."""
    sigma: tuple[float, float]
    """Standard deviation of the blur in pixels."""
    up: float
    """Share of pictures that are enlarged before the noise."""
    down: float
    """Share of those made smaller then."""
    factor: tuple[float, float]
    """Smallest and largest factor of that, of the large picture's size or, in the last pass, of the small one's."""
    gaussian: float
    """Standard deviation of Gaussian noise, of 255."""
    poisson: float
    """Multiple of the noise of a pixel that counts as many photons as its value."""


PASSES: dict[Literal["first", "second"], tuple[Pass, ...]] = {
    "first": (Pass(1.0, (0.2, 3.0), 0.0, 0.0, (1.0, 1.0), 30.0, 3.0),),
    "second": (
        Pass(1.0, (0.2, 3.0), 0.2, 0.7, (0.15, 1.5), 30.0, 3.0),
        Pass(0.8, (0.2, 1.5), 0.3, 0.4, (0.3, 1.2), 25.0, 2.5),
    ),
}
"""Passes of each order, with the ranges of the paper's section 4.1; the last one ends with the small picture's size and JPEG."""


def degrade(
    picture: np.ndarray, scale: int, order: Literal["first", "second"], strength: float, rng: np.random.Generator
) -> np.ndarray:
    """Return a picture [H, W, 3] uint8 `scale` times smaller and worse, [H / scale, W / scale, 3] uint8.

    Each pass blurs, resizes, adds noise of between half and all of `strength` times its range, and compresses likewise.
    Pixels keep their places: a crop with a margin comes out as the crop of the small picture, apart from the random numbers.
    """
    small = picture.shape[0] // scale, picture.shape[1] // scale
    x, passes = picture.astype(np.float32), PASSES[order]
    for one in passes:
        last = one is passes[-1]
        if rng.random() < one.blur:
            x = blurred(x, _random_kernel(one.sigma, rng))
        x = resized(x, _random_size(small if last else x.shape[:2], one, rng), _one_of(FILTERS, rng))
        x = noisy(x, one, strength * rng.uniform(0.5, 1), rng)
        x = resized(x, small, _one_of(FILTERS, rng)) if last else x
        x = compressed(x, round(BEST - strength * rng.uniform(0.5, 1) * (BEST - WORST)))
    return x.astype(np.uint8)


def gaussian_kernel(sigma_x: float, sigma_y: float, angle: float) -> np.ndarray:
    """Return the kernel [21, 21] of a Gaussian blur with these standard deviations along axes turned by `angle`, sum 1."""
    y, x = np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1].astype(np.float64)
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    kernel = np.exp(-0.5 * ((along / sigma_x) ** 2 + (across / sigma_y) ** 2))
    return kernel / kernel.sum()


def blurred(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return x [H, W, C] float32 convolved with a kernel [k, k], mirrored at its border."""
    reach = len(kernel) // 2
    padded = np.pad(x, ((reach, reach), (reach, reach), (0, 0)), "symmetric")
    sides = padded.shape[:2]
    spectrum = np.fft.rfft2(padded, axes=(0, 1)) * np.fft.rfft2(kernel, sides)[..., None]
    return np.fft.irfft2(spectrum, sides, axes=(0, 1))[2 * reach :, 2 * reach :].astype(np.float32)


def resized(x: np.ndarray, size: tuple[int, int], kind: Image.Resampling) -> np.ndarray:
    """Return x [H, W, C] float32 at the size (height, width), not clipped."""
    if x.shape[:2] == size:
        return x
    channels = [Image.fromarray(x[..., c]).resize(size[::-1], kind) for c in range(x.shape[2])]
    return np.stack([np.asarray(channel) for channel in channels], axis=2)


def noisy(x: np.ndarray, one: Pass, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Return x [H, W, 3] in 0 ... 255 with Gaussian or Poisson noise, `amount` times what the pass says.

    The variance of Poisson noise is (amount poisson)^2 x: that of a pixel of x photons for 1.
    """
    grey, gaussian = rng.random() < GREY, rng.random() < 0.5
    if gaussian:
        return x + amount * one.gaussian * rng.standard_normal((*x.shape[:2], 1 if grey else 3), np.float32)
    photons = np.clip(x.mean(axis=2, keepdims=True) if grey else x, 0, 255)
    return x + amount * one.poisson * (rng.poisson(photons) - photons).astype(np.float32)


def compressed(x: np.ndarray, quality: int) -> np.ndarray:
    """Return x [H, W, 3] in 0 ... 255, rounded and clipped, after JPEG of this quality with subsampled colour."""
    file = io.BytesIO()
    Image.fromarray(np.clip(np.round(x), 0, 255).astype(np.uint8)).save(file, "JPEG", quality=quality, subsampling=2)
    with Image.open(file) as picture:
        return np.asarray(picture, np.float32)


def _random_kernel(sigma: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    first, second, angle = rng.uniform(*sigma), rng.uniform(*sigma), rng.uniform(0, np.pi)
    return gaussian_kernel(first, second if rng.random() < ANISOTROPIC else first, angle)


def _random_size(size: tuple[int, ...], one: Pass, rng: np.random.Generator) -> tuple[int, int]:
    """Return a size times a random factor, at least 4 pixels a side."""
    which, (least, most) = rng.random(), one.factor
    low, high = (1.0, most) if which < one.up else (least, 1.0) if which < one.up + one.down else (1.0, 1.0)
    factor = rng.uniform(low, high)
    return max(round(size[0] * factor), 4), max(round(size[1] * factor), 4)


def _one_of(kinds: tuple[Image.Resampling, ...], rng: np.random.Generator) -> Image.Resampling:
    return kinds[int(rng.integers(len(kinds)))]
