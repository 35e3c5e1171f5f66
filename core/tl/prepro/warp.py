"""Distortions of images that are not affine: crop, flip, swirl, elastic and projective transforms.

Images are [row, col, channel]. The `_multi` form of a distortion treats several images alike, with one random draw.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from core.tl.errors import require, require_pixels
from core.tl.prepro.multi import multi
from core.tl.randomness import Rng, drawn, uniform

__all__ = [
    "crop",
    "crop_multi",
    "elastic_transform",
    "elastic_transform_multi",
    "flip_axis",
    "flip_axis_multi",
    "projective_transform_by_points",
    "swirl",
    "swirl_multi",
]

# --- crop and flip ----------------------------------------------------------------------------------------------------


def crop(
    x: np.ndarray,
    wrg: int,
    hrg: int,
    is_random: bool = False,
    row_index: int = 0,
    col_index: int = 1,
    channel_index: int = 2,
    *,
    rng: Rng = None,
) -> np.ndarray:
    """Cut out a window, from the middle or anywhere.

    Without ``rng`` a random window starts where 2.x puts it, int(U(0, room)), which never reaches the last place; 1.x
    counted the first place twice. With ``rng`` every place is equally likely.

    Args:
        x: [row, col] or [row, col, channel].
        wrg: width of the window. Width comes first.
        hrg: height of the window.
        is_random: draw the place, the row first.
        row_index, col_index: axes of x.
        channel_index: taken for 1.5.3's sake, not used.
        rng: source of randomness; numpy's global state without one.

    Returns:
        View of x. A window as large as the image is allowed, as in 2.x.

    Raises:
        ValueError, AssertionError: the window is larger than the image.

    >>> crop(np.arange(12).reshape(3, 4), wrg=2, hrg=1).tolist()
    [[5, 6]]
    """
    return x[_window(x, wrg, hrg, is_random, row_index, col_index, rng)]


def _window(
    x: np.ndarray, wrg: int, hrg: int, is_random: bool, row_index: int, col_index: int, rng: Rng
) -> tuple[slice, ...]:
    h, w = x.shape[row_index], x.shape[col_index]
    require(0 <= hrg <= h and 0 <= wrg <= w, f"a window of {wrg} x {hrg} does not fit into an image of {w} x {h}")
    if is_random:
        row, col = drawn(rng, lambda rng: (_place(h - hrg, rng), _place(w - wrg, rng)))
    else:
        row, col = (h - hrg) // 2, (w - wrg) // 2
    window = [slice(None)] * (max(row_index, col_index) + 1)
    window[row_index], window[col_index] = slice(row, row + hrg), slice(col, col + wrg)
    return tuple(window)


def _place(room: int, rng: Rng) -> int:
    return int(np.random.uniform(0, room)) if rng is None else int(rng.integers(0, room + 1))


crop_multi = multi(
    "crop_multi",
    crop,
    """:func:`crop` of several images at one place.

    The window in the middle has the size asked for; 2.2.5 returned one row or column more when the difference was odd,
    and 1.x raised TypeError.

    >>> crop_multi(np.zeros([2, 6, 5, 3]), wrg=2, hrg=3).shape
    (2, 3, 2, 3)
    """,
)


def flip_axis(x: np.ndarray, axis: int = 1, is_random: bool = False, *, rng: Rng = None) -> np.ndarray:
    """Mirror an image.

    Args:
        x: array of any shape.
        axis: 0 up and down, 1 left and right, 2 channels.
        is_random: only with probability 1/2.
        rng: source of randomness; numpy's global state without one.

    Returns:
        View of x.

    >>> flip_axis(np.arange(3)[None]).tolist()
    [[2, 1, 0]]
    """
    flips = not is_random or uniform(rng, -1, 1) > 0
    return np.flip(x, axis) if flips else np.asarray(x)


flip_axis_multi = multi(
    "flip_axis_multi",
    flip_axis,
    """:func:`flip_axis` of several images, all or none.

    >>> flip_axis_multi([np.arange(3)[None], np.arange(3)[None]], axis=1).tolist()
    [[[2, 1, 0]], [[2, 1, 0]]]
    """,
    required="axis",
    needs_image="never",
)


# --- swirl and elastic transform --------------------------------------------------------------------------------------


def swirl(
    x: np.ndarray,
    center: tuple[float, float] | None = None,
    strength: float = 1,
    radius: float = 100,
    rotation: float = 0,
    output_shape: tuple[int, int] | None = None,
    order: int = 1,
    mode: str = "constant",
    cval: float = 0,
    clip: bool = True,
    preserve_range: bool = False,
    is_random: bool = False,
    *,
    rng: Rng = None,
) -> np.ndarray:
    """Swirl an image (skimage.transform.swirl does the work).

    Args:
        x: [row, col, channel]. If its maximum is above 1 it is divided by the maximum before and multiplied after.
        center: of the swirl; the middle without one.
        strength: amount; with ``is_random`` drawn from [0, strength].
        radius: extent in pixels, not 0; with ``is_random`` drawn from (0, radius].
        rotation: further turn in degrees; with ``is_random`` drawn from [-rotation, rotation].
        output_shape, order, mode, cval, clip, preserve_range: see skimage.transform.swirl.
        is_random: draw center, strength, radius and rotation, in this order.
        rng: source of randomness; numpy's global state without one.

    Returns:
        Float image.

    Raises:
        ValueError, AssertionError: radius is 0.

    >>> swirl(np.ones([5, 5, 1]), strength=0)[2, 2, 0]
    np.float64(1.0)
    """
    from skimage.transform import swirl as skimage_swirl

    require(radius != 0, "radius must not be 0")
    require_pixels(x)
    angle = np.pi / 180 * rotation
    if is_random:
        center = (int(uniform(rng, 0, x.shape[0])), int(uniform(rng, 0, x.shape[1])))
        strength, radius = uniform(rng, 0, strength), uniform(rng, 1e-10, radius)
        angle = uniform(rng, -angle, angle)
    highest = np.max(x)
    swirled = skimage_swirl(
        x / highest if highest > 1 else x,
        center=center,
        strength=strength,
        radius=radius,
        rotation=angle,
        output_shape=output_shape,
        order=order,
        mode=mode,
        cval=cval,
        clip=clip,
        preserve_range=preserve_range,
    )
    return swirled * highest if highest > 1 else swirled


swirl_multi = multi(
    "swirl_multi",
    swirl,
    """:func:`swirl` of several images with one swirl.

    >>> swirl_multi(np.ones([2, 5, 5, 1]), strength=0).shape
    (2, 5, 5, 1)
    """,
    needs_image="when random",
)


def elastic_transform(
    x: np.ndarray,
    alpha: float,
    sigma: float | Sequence[float],
    mode: str = "constant",
    cval: float = 0,
    is_random: bool = False,
    *,
    rng: Rng = None,
) -> np.ndarray:
    """Elastic deformation of a greyscale image (Simard et al. 2003, "Best practices for convolutional neural networks
    applied to visual document analysis").

    The deformation is random whatever ``is_random`` says, as in the original: without ``rng`` it is seeded by the
    clock's whole seconds if ``is_random``, else by the system's entropy.

    Args:
        x: [row, col] or [row, col, 1].
        alpha: size of the deformation in pixels.
        sigma: of the Gaussian that smooths it; small is rough.
        mode, cval: of that Gaussian at the border, see scipy.ndimage.gaussian_filter.
        is_random: see above.
        rng: source of the deformation.

    Returns:
        Image of the same shape and type.

    Raises:
        ValueError: the image has colours.

    >>> elastic_transform(np.ones([4, 4]), alpha=0.0, sigma=1.0).min()
    np.float64(1.0)
    """
    source = _deformation_source(is_random, rng)
    size = _grey(x).shape
    dx, dy = (_smooth_noise(source.random(size), alpha, sigma, mode, cval) for _ in range(2))
    return _displaced(x, dx, dy)


def _elastic_transform_of_several(
    x: np.ndarray,
    alpha: float,
    sigma: float | Sequence[float],
    mode: str = "constant",
    cval: float = 0,
    is_random: bool = False,
    *,
    rng: Rng = None,
) -> np.ndarray:
    def displacement(rng: Rng) -> np.ndarray:
        noise = _deformation_source(is_random, rng).random(x.shape[:2])
        return _smooth_noise(noise, alpha, sigma, mode, cval)

    once = drawn(rng, displacement)
    return _displaced(x, once, once)


elastic_transform_multi = multi(
    "elastic_transform_multi",
    elastic_transform,
    """:func:`elastic_transform` of several images alike. As in the original, rows and columns move by the same noise.

    >>> elastic_transform_multi(np.ones([2, 4, 4, 1]), alpha=0.0, sigma=1.0).shape
    (2, 4, 4, 1)
    """,
    each=_elastic_transform_of_several,
)


def _deformation_source(is_random: bool, rng: Rng) -> Any:
    if rng is not None:
        return rng
    return np.random.RandomState(int(time.time()) if is_random else None)


def _grey(x: np.ndarray) -> np.ndarray:
    grey = x[:, :, 0] if x.ndim == 3 and x.shape[-1] == 1 else x
    require(grey.ndim == 2, f"an elastic transform needs a greyscale image [row, col(, 1)], not {x.shape}")
    return grey


def _smooth_noise(
    noise: np.ndarray, alpha: float, sigma: float | Sequence[float], mode: str, cval: float
) -> np.ndarray:
    return ndimage.gaussian_filter(noise * 2 - 1, sigma, mode=mode, cval=cval) * alpha


def _displaced(x: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    grey = _grey(x)
    rows, cols = np.indices(grey.shape)
    return ndimage.map_coordinates(grey, [rows + dx, cols + dy], order=1).reshape(x.shape)


# --- projective transform ---------------------------------------------------------------------------------------------


def projective_transform_by_points(
    x: np.ndarray,
    src: Any,
    dst: Any,
    map_args: dict[str, Any] | None = None,
    output_shape: tuple[int, int] | None = None,
    order: int = 1,
    mode: str = "constant",
    cval: float = 0.0,
    clip: bool = True,
    preserve_range: bool = False,
) -> np.ndarray:
    """Projective warp that moves the points ``src`` to ``dst`` (skimage.transform.warp does the work).

    Args:
        x: [row, col, channel]; divided by 255 if any value is above 1.
        src: [4 or more, 2] points (x, y).
        dst: where they go, [as many, 2].
        map_args: further keyword arguments of the inverse map.
        output_shape: (rows, cols); that of x without one.
        order, mode, cval, clip, preserve_range: see skimage.transform.warp.

    Returns:
        Float image.

    Raises:
        ValueError: the numbers of points differ.

    >>> x = np.eye(4)[..., None]
    >>> corners = [[0, 0], [0, 4], [4, 0], [4, 4]]
    >>> np.allclose(projective_transform_by_points(x, corners, corners), x)
    True
    """
    from skimage import transform

    src, dst = np.asarray(src), np.asarray(dst)
    require(src.shape == dst.shape, f"src and dst must hold the same number of points, not {src.shape} and {dst.shape}")
    require_pixels(x)
    if np.max(x) > 1:
        x = x / 255
    inverse_map = transform.estimate_transform("projective", dst, src)
    return transform.warp(
        x,
        inverse_map,
        map_args=map_args or {},
        output_shape=output_shape,
        order=order,
        mode=mode,
        cval=cval,
        clip=clip,
        preserve_range=preserve_range,
    )
