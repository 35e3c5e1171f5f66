"""PSNR and SSIM as the literature on super-resolution takes them: on luma and on RGB, without the border, range 255."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import correlate1d

__all__ = ["TAPS", "luma", "protocol", "psnr", "quality", "ssim"]

TAPS, SIGMA = 11, 1.5  # the Gaussian window of SSIM
K1, K2 = 0.01, 0.03


def protocol(border: int) -> str:
    """Return how `quality` measures, for the protocol line."""
    return (
        f"PSNR in dB and SSIM (Gaussian window {TAPS}x{TAPS}, sigma {SIGMA:g}) of pictures rounded to 8 bits, range 255, "
        f"{border} pixels cut off at each border; Y is BT.601 luma from 16 to 235, RGB the mean squared error or SSIM over all "
        "three channels"
    )


def luma(rgb: np.ndarray) -> np.ndarray:
    """Return Y of BT.601, [..., 3] in 0 ... 255 -> [...] float64 in 16 ... 235.

    Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255. The full-range Y of JPEG and OpenCV is another quantity: errors
    in it are 255/219 times larger, which is 1.3 dB.
    """
    return 16 + rgb.astype(np.float64) @ (np.array([65.481, 128.553, 24.966]) / 255)


def psnr(x: np.ndarray, y: np.ndarray, data_range: float = 255.0) -> float:
    """Return 10 log10(range^2 / mean squared error) in dB of two arrays of one shape; infinite for equal ones."""
    _check(x, y)
    error = float(np.mean((x.astype(np.float64) - y.astype(np.float64)) ** 2))
    return float(10 * np.log10(data_range**2 / error)) if error else float("inf")


def ssim(x: np.ndarray, y: np.ndarray, data_range: float = 255.0) -> float:
    """Return the mean structural similarity (Wang et al., 2004, eq. 13) of [H, W] or, averaged over channels, [H, W, C].

    Covariances are divided by the window's weight, not by n - 1; windows that reach over the border are left out.
    """
    _check(x, y)
    if x.ndim not in (2, 3) or min(x.shape[:2]) < TAPS:
        raise ValueError(
            f"pictures have shape {list(x.shape)}; [H, W] or [H, W, C] of at least {TAPS} pixels is needed"
        )
    if x.ndim == 3:
        return float(np.mean([ssim(x[..., c], y[..., c], data_range) for c in range(x.shape[2])]))
    offsets = np.arange(TAPS) - TAPS // 2
    window = np.exp(-(offsets**2) / (2 * SIGMA**2))
    window /= window.sum()
    inner = slice(TAPS // 2, -(TAPS // 2))

    def mean(image: np.ndarray) -> np.ndarray:  # [H, W] -> [H - 10, W - 10]
        return correlate1d(correlate1d(image, window, axis=0), window, axis=1)[inner, inner]

    x, y = x.astype(np.float64), y.astype(np.float64)
    mu_x, mu_y = mean(x), mean(y)
    var_x, var_y, cov = mean(x * x) - mu_x**2, mean(y * y) - mu_y**2, mean(x * y) - mu_x * mu_y
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    similar = (2 * mu_x * mu_y + c1) * (2 * cov + c2) / ((mu_x**2 + mu_y**2 + c1) * (var_x + var_y + c2))
    return float(similar.mean())


def quality(x: np.ndarray, y: np.ndarray, border: int) -> dict[str, float]:
    """Return psnr_y, ssim_y, psnr_rgb, ssim_rgb of two pictures [H, W, 3] uint8 by `protocol`, with `border` pixels cut off:
    as many as the scale in the usual comparisons."""
    _check(x, y)
    if x.dtype != np.uint8 or y.dtype != np.uint8 or x.ndim != 3 or x.shape[2] != 3:
        raise ValueError(f"pictures are {x.dtype} {list(x.shape)}, {y.dtype}; uint8 [H, W, 3] is needed")
    if border:
        x, y = (image[border:-border, border:-border] for image in (x, y))
    x_luma, y_luma = luma(x), luma(y)
    return {
        "psnr_y": psnr(x_luma, y_luma),
        "ssim_y": ssim(x_luma, y_luma),
        "psnr_rgb": psnr(x, y),
        "ssim_rgb": ssim(x, y),
    }


def _check(x: np.ndarray, y: np.ndarray) -> None:
    if x.shape != y.shape:
        raise ValueError(f"pictures have shapes {list(x.shape)} and {list(y.shape)}; they must be the same")
