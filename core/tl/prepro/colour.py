"""Brightness, colour and hue of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance

from core.tl.errors import require
from core.tl.prepro.multi import multi
from core.tl.randomness import Rng, integer_below, random_source, uniform

__all__ = ["adjust_hue", "brightness", "brightness_multi", "hsv_to_rgb", "illumination", "rgb_to_hsv"]


def brightness(
    x: np.ndarray, gamma: float = 1, gain: float = 1, is_random: bool = False, *, rng: Rng = None
) -> np.ndarray:
    """Gamma correction: gain * x ** gamma on the scale of the image's type (skimage.exposure.adjust_gamma).

    Args:
        x: image of any shape, not negative.
        gamma: below 1 is brighter; with ``is_random`` drawn from [1 - gamma, 1 + gamma].
        gain: constant factor.
        is_random: draw gamma.
        rng: source of randomness; numpy's global state without one.

    Returns:
        Image of the same shape and type.

    Raises:
        ValueError: x has negative values.

    >>> brightness(np.asarray([0.0, 0.25, 1.0]), gamma=0.5).tolist()
    [0.0, 0.5, 1.0]
    """
    from skimage import exposure

    return exposure.adjust_gamma(x, _gamma(gamma, is_random, rng), gain)


def _gamma(gamma: float, is_random: bool, rng: Rng) -> float:
    return uniform(rng, 1 - gamma, 1 + gamma) if is_random else gamma


brightness_multi = multi(
    "brightness_multi",
    brightness,
    """:func:`brightness` of several images with one gamma.

    >>> brightness_multi(np.full([2, 1, 1, 1], 0.25), gamma=0.5).ravel().tolist()
    [0.5, 0.5]
    """,
    needs_image="never",
)


def illumination(
    x: np.ndarray,
    gamma: float | Sequence[float] = 1.0,
    contrast: float | Sequence[float] = 1.0,
    saturation: float | Sequence[float] = 1.0,
    is_random: bool = False,
    *,
    rng: Rng = None,
) -> np.ndarray:
    """Brightness, then contrast, then saturation (Pillow's enhancers do the last two).

    Args:
        x: uint8 [row, col, 3] or [row, col].
        gamma: see :func:`brightness`. With ``is_random`` a pair (low, high): one time in three gamma is drawn from
            [low, 1], one time in three from [1, high], else it is 1.
        contrast: 0 is grey, 1 leaves x as it is. With ``is_random`` a pair to draw from.
        saturation: 0 is black and white, 1 leaves x as it is. With ``is_random`` a pair to draw from.
        is_random: draw all three, in this order.
        rng: source of randomness; numpy's global state without one.

    Returns:
        uint8 image of the same shape.

    Raises:
        ValueError, AssertionError: with ``is_random`` an argument is not a pair.

    >>> illumination(np.full([1, 1, 3], 100, np.uint8), gamma=1.0).ravel().tolist()
    [100, 100, 100]
    """
    if is_random:
        gamma, contrast, saturation = _drawn_illumination(gamma, contrast, saturation, rng)
    image = Image.fromarray(brightness(x, gamma))  # type: ignore[arg-type]
    image = ImageEnhance.Contrast(image).enhance(contrast)  # type: ignore[arg-type]
    return np.array(ImageEnhance.Color(image).enhance(saturation))  # type: ignore[arg-type]


def _drawn_illumination(gamma: Any, contrast: Any, saturation: Any, rng: Rng) -> tuple[float, float, float]:
    for name, pair in (("gamma", gamma), ("contrast", contrast), ("saturation", saturation)):
        require(np.ndim(pair) == 1 and len(pair) == 2, f"{name} must be a pair (low, high), not {pair!r}")
    source = random_source(rng)
    kind = integer_below(rng, 0, 3)
    if kind == 0:
        drawn_gamma = source.uniform(gamma[0], 1.0)
    elif kind == 1:
        drawn_gamma = source.uniform(1.0, gamma[1])
    else:
        drawn_gamma = 1.0
    return drawn_gamma, source.uniform(*contrast), source.uniform(*saturation)


def rgb_to_hsv(rgb: np.ndarray) -> np.ndarray:
    """RGB to hue, saturation, value.

    Args:
        rgb: [..., 3 or more], 0 to 255; channels after the third are copied.

    Returns:
        float64 of the same shape: hue in [0, 1), saturation in [0, 1], value in [0, 255].

    >>> rgb_to_hsv(np.asarray([[0, 255, 0]], np.uint8)).round(3).tolist()
    [[0.333, 1.0, 255.0]]
    """
    require(rgb.shape[-1] >= 3, f"rgb must be [..., 3 or more], not {rgb.shape}")
    rgb = rgb.astype(np.float64)
    high, low = rgb[..., :3].max(axis=-1), rgb[..., :3].min(axis=-1)
    spread = high - low
    coloured = spread != 0
    safe = np.where(coloured, spread, 1.0)
    r, g, b = (np.where(coloured, (high - rgb[..., i]) / safe, 0.0) for i in range(3))  # distance from the maximum
    hue = np.select([rgb[..., 0] == high, rgb[..., 1] == high], [b - g, 2.0 + r - b], default=4.0 + g - r)
    hsv = rgb.copy()
    hsv[..., 0] = (hue / 6.0) % 1.0
    hsv[..., 1] = np.divide(spread, high, out=np.zeros_like(high), where=coloured)
    hsv[..., 2] = high
    return hsv


def hsv_to_rgb(hsv: np.ndarray) -> np.ndarray:
    """Hue, saturation, value to RGB.

    Args:
        hsv: float [..., 3 or more]: hue and saturation in [0, 1], value in [0, 255]; further channels are copied.

    Returns:
        uint8 of the same shape.

    >>> hsv_to_rgb(np.asarray([[0.0, 1.0, 255.0]])).tolist()
    [[255, 0, 0]]
    """
    require(hsv.shape[-1] >= 3, f"hsv must be [..., 3 or more], not {hsv.shape}")
    h, s, v = hsv[..., 0], hsv[..., 1], hsv[..., 2]
    sector = (h * 6.0).astype(np.int64) % 256  # the original counts sectors in a uint8
    f = h * 6.0 - sector
    p, q, t = v * (1.0 - s), v * (1.0 - s * f), v * (1.0 - s * (1.0 - f))
    sector = sector % 6
    cases = [s == 0.0, sector == 1, sector == 2, sector == 3, sector == 4, sector == 5]
    rgb = hsv.copy()
    rgb[..., 0] = np.select(cases, [v, q, p, p, t, v], default=v)
    rgb[..., 1] = np.select(cases, [v, v, v, q, p, p], default=t)
    rgb[..., 2] = np.select(cases, [v, p, t, v, v, q], default=p)
    with np.errstate(invalid="ignore"):
        return rgb.astype(np.uint8)


def adjust_hue(
    im: np.ndarray,
    hout: float = 0.66,
    is_offset: bool = True,
    is_clip: bool = True,
    is_random: bool = False,
    *,
    rng: Rng = None,
) -> np.ndarray:
    """Turn the hue of an RGB image, or set it.

    Args:
        im: [..., 3], 0 to 255.
        hout: hue: 0 red, 0.33 green, 0.66 blue; with ``is_random`` drawn from [-hout, hout].
        is_offset: add ``hout`` to the hue instead of setting it.
        is_clip: hues below 0 become 0.
        is_random: draw ``hout``.
        rng: source of randomness; numpy's global state without one.

    Returns:
        uint8 image of the same shape.

    >>> adjust_hue(np.asarray([[[255, 0, 0]]], np.uint8), hout=1 / 3, is_offset=False).ravel().tolist()
    [0, 255, 0]
    """
    hsv = rgb_to_hsv(im)
    if is_random:
        hout = uniform(rng, -hout, hout)
    hue = hsv[..., 0] + hout if is_offset else hout
    hsv[..., 0] = np.maximum(hue, 0) if is_clip else hue
    return hsv_to_rgb(hsv)
