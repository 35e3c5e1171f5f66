"""Affine distortions of images: rotate, shift, shear, zoom; and the matrices behind them.

Images are [row, col, channel]. The `_multi` form of a distortion treats several images alike, with one random draw: an
image and its segmentation mask, for example.

Two coordinate systems, as in TensorLayer. "scipy": a matrix maps output (row, col) to input (row, col). "OpenCV": a
matrix maps input (x, y) = (col, row) to output (x, y).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from core.tl._common import random_source, require

__all__ = [
    "affine_horizontal_flip_matrix",
    "affine_respective_zoom_matrix",
    "affine_rotation_matrix",
    "affine_shear_matrix",
    "affine_shift_matrix",
    "affine_transform",
    "affine_transform_cv2",
    "affine_transform_keypoints",
    "affine_vertical_flip_matrix",
    "affine_zoom_matrix",
    "apply_transform",
    "respective_zoom",
    "rotation",
    "rotation_multi",
    "shear",
    "shear2",
    "shear_multi",
    "shear_multi2",
    "shift",
    "shift_multi",
    "transform_matrix_offset_center",
    "zoom",
    "zoom_multi",
]

Rng = np.random.Generator | None
Range = float | Sequence[float]
"""A fixed number, or (low, high) to draw from uniformly."""
Images = np.ndarray | Sequence[np.ndarray]
"""[n, row, col, channel], or a list of n images [row, col, channel]."""

# OpenCV's numbers for the interpolations that `flags` may name. INTER_AREA means INTER_LINEAR when warping.
INTER_NEAREST, INTER_LINEAR, INTER_AREA = 0, 1, 3


# --- matrices ---------------------------------------------------------------------------------------------------------


def affine_rotation_matrix(angle: Range = (-20, 20), *, rng: Rng = None) -> np.ndarray:
    """Rotation in OpenCV coordinates, about the origin.

    Args:
        angle: degrees; (low, high) draws one.
        rng: source of randomness; numpy's global state without one.

    Returns:
        [3, 3].

    >>> affine_rotation_matrix(90).round()[:2, :2].tolist()
    [[0.0, 1.0], [-1.0, 0.0]]
    """
    theta = np.pi / 180 * _draw(angle, "angle", rng)
    return np.array([[np.cos(theta), np.sin(theta), 0], [-np.sin(theta), np.cos(theta), 0], [0, 0, 1]])


def affine_horizontal_flip_matrix(prob: float = 0.5, *, rng: Rng = None) -> np.ndarray:
    """Mirror left and right with probability ``prob``, in OpenCV coordinates about the origin.

    Args:
        prob: probability of a flip. One number is drawn even for 0 and 1.
        rng: source of randomness; numpy's global state without one.

    Returns:
        [3, 3].

    >>> affine_horizontal_flip_matrix(prob=1.0).diagonal().tolist()
    [-1.0, 1.0, 1.0]
    """
    return np.diag([-1.0 if prob >= random_source(rng).uniform(0, 1) else 1.0, 1.0, 1.0])


def affine_vertical_flip_matrix(prob: float = 0.5, *, rng: Rng = None) -> np.ndarray:
    """Mirror up and down with probability ``prob``, in OpenCV coordinates about the origin.

    Args:
        prob: probability of a flip. One number is drawn even for 0 and 1.
        rng: source of randomness; numpy's global state without one.

    Returns:
        [3, 3].

    >>> affine_vertical_flip_matrix(prob=1.0).diagonal().tolist()
    [1.0, -1.0, 1.0]
    """
    return np.diag([1.0, -1.0 if prob >= random_source(rng).uniform(0, 1) else 1.0, 1.0])


def affine_shift_matrix(
    wrg: Range = (-0.1, 0.1), hrg: Range = (-0.1, 0.1), w: int = 200, h: int = 200, *, rng: Rng = None
) -> np.ndarray:
    """Translation in OpenCV coordinates.

    Args:
        wrg: shift to the right as a fraction of the width; (low, high) draws one.
        hrg: shift down as a fraction of the height; (low, high) draws one, after the one for the width.
        w, h: size of the image in pixels.
        rng: source of randomness; numpy's global state without one.

    Returns:
        [3, 3].

    >>> affine_shift_matrix(wrg=0.5, hrg=0.25, w=10, h=8)[:2, 2].tolist()
    [5.0, 2.0]
    """
    tx = _draw(wrg, "wrg", rng) * w
    ty = _draw(hrg, "hrg", rng) * h
    return np.array([[1, 0, tx], [0, 1, ty], [0, 0, 1]])


def affine_shear_matrix(x_shear: Range = (-0.1, 0.1), y_shear: Range = (-0.1, 0.1), *, rng: Rng = None) -> np.ndarray:
    """Shear in OpenCV coordinates, about the origin.

    Args:
        x_shear: pixels to the right per pixel down; (low, high) draws one.
        y_shear: pixels down per pixel to the right; (low, high) draws one, after the one for x.
        rng: source of randomness; numpy's global state without one.

    Returns:
        [3, 3].

    >>> affine_shear_matrix(0.5, 0.25)[:2, :2].tolist()
    [[1.0, 0.5], [0.25, 1.0]]
    """
    x, y = _draw(x_shear, "x_shear", rng), _draw(y_shear, "y_shear", rng)
    return np.array([[1, x, 0], [y, 1, 0], [0, 0, 1]])


def affine_zoom_matrix(zoom_range: Range = (0.8, 1.1), *, rng: Rng = None) -> np.ndarray:
    """Zoom in OpenCV coordinates, about the origin; the same factor for both axes.

    Args:
        zoom_range: factor, larger than 1 enlarges; (low, high) draws one.
        rng: source of randomness; numpy's global state without one.

    Returns:
        [3, 3].

    >>> affine_zoom_matrix(1.5).diagonal().tolist()
    [1.5, 1.5, 1.0]
    """
    factor = _draw(zoom_range, "zoom_range", rng)
    return np.array([[factor, 0, 0], [0, factor, 0], [0, 0, 1]])


def affine_respective_zoom_matrix(w_range: Range = 0.8, h_range: Range = 1.1, *, rng: Rng = None) -> np.ndarray:
    """Zoom in OpenCV coordinates, about the origin; one factor for each axis.

    Args:
        w_range: factor of the width, larger than 1 enlarges; (low, high) draws one.
        h_range: factor of the height; (low, high) draws one, before the one for the width.
        rng: source of randomness; numpy's global state without one.

    Returns:
        [3, 3].

    >>> affine_respective_zoom_matrix(w_range=0.5, h_range=2.0).diagonal().tolist()
    [0.5, 2.0, 1.0]
    """
    zy = _draw(h_range, "h_range", rng)
    zx = _draw(w_range, "w_range", rng)
    return np.array([[zx, 0, 0], [0, zy, 0], [0, 0, 1]])


def transform_matrix_offset_center(matrix: np.ndarray, y: int, x: int) -> np.ndarray:
    """Let a matrix act about the middle of an image instead of its corner pixel.

    ``x`` belongs to the matrix's first axis and ``y`` to its second, in every TensorLayer. 2.x puts y first among the
    positional arguments (made for OpenCV matrices and ``image.shape[:2]``), 1.x put x first (made for scipy's): with
    keywords, ``x=w, y=h`` for an OpenCV matrix, there is nothing to confuse. The middle is (n-1)/2, as from 1.10 on;
    1.5.3 took n/2 + 0.5 and so moved the image.

    Args:
        matrix: [3, 3].
        y, x: size of the image along the matrix's second and first axis.

    Returns:
        [3, 3].

    >>> transform_matrix_offset_center(np.diag([-1.0, 1.0, 1.0]), x=5, y=3)[:2].tolist()
    [[-1.0, 0.0, 4.0], [0.0, 1.0, 0.0]]
    """
    o_x, o_y = (x - 1) / 2.0, (y - 1) / 2.0
    to_middle = np.array([[1, 0, o_x], [0, 1, o_y], [0, 0, 1]])
    to_corner = np.array([[1, 0, -o_x], [0, 1, -o_y], [0, 0, 1]])
    return to_middle @ matrix @ to_corner


# --- applying a matrix ------------------------------------------------------------------------------------------------


def affine_transform(
    x: np.ndarray,
    transform_matrix: np.ndarray,
    channel_index: int = 2,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    order: int = 1,
) -> np.ndarray:
    """Warp an image by a matrix in scipy coordinates (output row, col -> input row, col).

    Args:
        x: [row, col, channel].
        transform_matrix: [3, 3].
        channel_index: axis of the channels.
        fill_mode: what lies outside the image: "nearest", "constant", "reflect" or "wrap"
            (see scipy.ndimage.affine_transform).
        cval: the value outside with fill_mode "constant".
        order: of the spline: 0 nearest pixel, 1 bilinear, up to 5.

    Returns:
        Image of the same shape and type.

    Raises:
        ValueError: x has no three axes.

    >>> x = np.arange(6.0).reshape(2, 3, 1)
    >>> down = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 1]])  # every output pixel reads one row further down
    >>> affine_transform(x, down)[..., 0].tolist()
    [[3.0, 4.0, 5.0], [3.0, 4.0, 5.0]]
    """
    out = np.empty_like(require_image(x))
    _warp_into(out, x, transform_matrix, channel_index, fill_mode, cval, order)
    return out


apply_transform = affine_transform  # its name in 1.5.3


def affine_transform_cv2(
    x: np.ndarray, transform_matrix: np.ndarray, flags: int | None = None, border_mode: str = "constant"
) -> np.ndarray:
    """Warp an image by a matrix in OpenCV coordinates (input x, y -> output x, y).

    The same numbers as cv2.warpAffine, without OpenCV: bilinear, with input positions rounded to 1/32 of a pixel.
    Unlike OpenCV a channel axis of length 1 stays.

    Args:
        x: [row, col, channel] or [row, col], any real type.
        transform_matrix: [3, 3] or [2, 3], invertible.
        flags: OpenCV's number of the interpolation: 0 nearest, 1 linear, 3 area (here the same as linear, and what
            None means).
        border_mode: "constant" puts 0 outside the image, "replicate" repeats its edge.

    Returns:
        Image of the same shape and type.

    Raises:
        ValueError: another border mode or interpolation.

    >>> x = np.arange(6, dtype=np.uint8).reshape(2, 3)
    >>> affine_transform_cv2(x, affine_shift_matrix(wrg=1.0, hrg=0.0, w=1, h=1)).tolist()
    [[0, 0, 1], [0, 3, 4]]
    """
    if border_mode not in ("constant", "replicate"):
        raise ValueError(f"border_mode must be 'constant' or 'replicate', not {border_mode!r}")
    flags = INTER_AREA if flags is None else flags
    if flags not in (INTER_NEAREST, INTER_LINEAR, INTER_AREA):
        raise ValueError(f"flags must be 0 (nearest), 1 (linear) or 3 (area), not {flags!r}")
    rows, cols = x.shape[:2]
    bits = 0 if flags == INTER_NEAREST else 5  # of the fraction of a position
    col_fixed, row_fixed = _fixed_point_positions(np.asarray(transform_matrix, float), rows, cols, bits)
    col, row = col_fixed >> bits, row_fixed >> bits

    def pixels(row: np.ndarray, col: np.ndarray) -> np.ndarray:
        found = x[np.clip(row, 0, rows - 1), np.clip(col, 0, cols - 1)]
        if border_mode == "constant":
            found[(row < 0) | (row >= rows) | (col < 0) | (col >= cols)] = 0
        return found

    if flags == INTER_NEAREST:
        return pixels(row, col)
    channels = (..., *(None,) * (x.ndim - 2))
    right, below = (col_fixed & 31)[channels] / 32, (row_fixed & 31)[channels] / 32
    upper = (1 - right) * pixels(row, col) + right * pixels(row, col + 1)
    lower = (1 - right) * pixels(row + 1, col) + right * pixels(row + 1, col + 1)
    mixed = (1 - below) * upper + below * lower
    if x.dtype.kind in "iu":
        mixed = np.floor(mixed + 0.5)  # exact: the weights are multiples of 1/1024
    return mixed.astype(x.dtype)


def _fixed_point_positions(matrix: np.ndarray, rows: int, cols: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Input (x, y) of every output pixel as integers with ``bits`` bits of fraction, rounded the way OpenCV rounds."""
    (a, b, tx), (c, d, ty) = matrix[:2]
    determinant = a * d - b * c
    require(determinant != 0, "transform_matrix must be invertible")
    inverse = 1.0 / determinant
    a, b, c, d = d * inverse, -b * inverse, -c * inverse, a * inverse
    tx, ty = -a * tx - b * ty, -c * tx - d * ty
    scale = 1024  # OpenCV adds up columns and rows with 10 bits of fraction, then drops 10 - bits of them
    half = scale >> (bits + 1)

    def position(per_col: float, per_row: float, offset: float) -> np.ndarray:
        from_col = np.rint(per_col * np.arange(cols) * scale).astype(np.int64)
        from_row = np.rint((per_row * np.arange(rows) + offset) * scale).astype(np.int64)
        return (from_row[:, None] + half + from_col) >> (10 - bits)

    return position(a, b, tx), position(c, d, ty)


def affine_transform_keypoints(coords_list: Sequence[Any], transform_matrix: np.ndarray) -> list[np.ndarray]:
    """Move points by a matrix in OpenCV coordinates.

    Args:
        coords_list: one entry per person: [(x, y), ...].
        transform_matrix: [3, 3].

    Returns:
        One array [points, 2] per person.

    >>> affine_transform_keypoints([[(1, 2), (3, 4)]], np.diag([2, 1, 1]))[0].tolist()
    [[2, 2], [6, 4]]
    """
    moved = []
    for points in coords_list:
        xy = np.asarray(points).T  # [2, points]
        homogeneous = np.insert(xy, 2, 1, axis=0)
        moved.append((np.asarray(transform_matrix) @ homogeneous)[:2].T)
    return moved


# --- rotation, shift, shear -------------------------------------------------------------------------------------------


def rotation(
    x: np.ndarray,
    rg: float = 20,
    is_random: bool = False,
    row_index: int = 0,
    col_index: int = 1,
    channel_index: int = 2,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    order: int = 1,
    *,
    rng: Rng = None,
) -> np.ndarray:
    """Rotate an image clockwise about its middle.

    The middle and the default order are those of 1.11: 1.5.3 turned about a point half a pixel outside and took the
    nearest pixel (``order=0`` still does), 2.2.5 exchanges width and height in the middle of a non-square image.

    Args:
        x: [row, col, channel].
        rg: degrees; with ``is_random`` drawn from [-rg, rg].
        is_random: draw the angle.
        row_index, col_index, channel_index: axes of x, (1, 2, 0) for channel-first images.
        fill_mode, cval, order: see :func:`affine_transform`.
        rng: source of randomness; numpy's global state without one.

    Returns:
        Image of the same shape and type.

    >>> x = np.arange(4.0).reshape(2, 2, 1)
    >>> rotation(x, 90)[..., 0].round(9).tolist()
    [[2.0, 0.0], [3.0, 1.0]]
    """
    matrix = _rotation_matrix(rg, is_random, rng)
    return _centred(x, matrix, row_index, col_index, channel_index, fill_mode, cval, order)


def rotation_multi(
    x: Images,
    rg: float = 20,
    is_random: bool = False,
    row_index: int = 0,
    col_index: int = 1,
    channel_index: int = 2,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    order: int = 1,
    *,
    rng: Rng = None,
) -> Any:
    """:func:`rotation` of several images by one angle.

    Args:
        x: images of one height and width.
        rg, is_random, row_index, col_index, channel_index, fill_mode, cval, order, rng: see :func:`rotation`.

    Returns:
        [n, row, col, channel], or a list if the images differ in shape.

    >>> x = np.arange(4.0).reshape(2, 2, 1)
    >>> rotation_multi([x, x], 90).shape
    (2, 2, 2, 1)
    """
    matrix = _rotation_matrix(rg, is_random, rng)
    return _centred_multi(x, matrix, row_index, col_index, channel_index, fill_mode, cval, order)


def _rotation_matrix(rg: float, is_random: bool, rng: Rng) -> np.ndarray:
    theta = np.pi / 180 * (random_source(rng).uniform(-rg, rg) if is_random else rg)
    return np.array([[np.cos(theta), -np.sin(theta), 0], [np.sin(theta), np.cos(theta), 0], [0, 0, 1]])


def shift(
    x: np.ndarray,
    wrg: float = 0.1,
    hrg: float = 0.1,
    is_random: bool = False,
    row_index: int = 0,
    col_index: int = 1,
    channel_index: int = 2,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    order: int = 1,
    *,
    rng: Rng = None,
) -> np.ndarray:
    """Shift an image; positive fractions move its content to the left and up.

    Args:
        x: [row, col, channel].
        wrg: fraction of the width; with ``is_random`` drawn from [-wrg, wrg], after the one for the height.
        hrg: fraction of the height; with ``is_random`` drawn from [-hrg, hrg].
        is_random: draw both.
        row_index, col_index, channel_index: axes of x, (1, 2, 0) for channel-first images.
        fill_mode, cval, order: see :func:`affine_transform`. 1.5.3 took the nearest pixel, which is ``order=0``.
        rng: source of randomness; numpy's global state without one.

    Returns:
        Image of the same shape and type.

    >>> shift(np.arange(4.0).reshape(1, 4, 1), wrg=0.25, hrg=0)[0, :, 0].tolist()
    [1.0, 2.0, 3.0, 3.0]
    """
    matrix = shift_matrix(require_image(x).shape[row_index], x.shape[col_index], wrg, hrg, is_random, rng)
    return affine_transform(x, matrix, channel_index, fill_mode, cval, order)


def shift_multi(
    x: Images,
    wrg: float = 0.1,
    hrg: float = 0.1,
    is_random: bool = False,
    row_index: int = 0,
    col_index: int = 1,
    channel_index: int = 2,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    order: int = 1,
    *,
    rng: Rng = None,
) -> Any:
    """:func:`shift` of several images by one distance.

    Args:
        x: images of one height and width.
        wrg, hrg, is_random, row_index, col_index, channel_index, fill_mode, cval, order, rng: see :func:`shift`.

    Returns:
        [n, row, col, channel], or a list if the images differ in shape.

    >>> shift_multi(np.ones([2, 4, 4, 1]), 0.25, 0.25, fill_mode="constant").sum(axis=(1, 2, 3)).tolist()
    [9.0, 9.0]
    """
    first = require_image(x[0])
    matrix = shift_matrix(first.shape[row_index], first.shape[col_index], wrg, hrg, is_random, rng)
    return _warp_multi(x, matrix, channel_index, fill_mode, cval, order)


def shift_matrix(h: int, w: int, wrg: float, hrg: float, is_random: bool, rng: Rng) -> np.ndarray:
    """Translation in scipy coordinates, by fractions of the height (drawn first) and the width."""
    if is_random:
        source = random_source(rng)
        hrg, wrg = source.uniform(-hrg, hrg), source.uniform(-wrg, wrg)
    return np.array([[1, 0, hrg * h], [0, 1, wrg * w], [0, 0, 1]])


def shear(
    x: np.ndarray,
    intensity: float = 0.1,
    is_random: bool = False,
    row_index: int = 0,
    col_index: int = 1,
    channel_index: int = 2,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    order: int = 1,
    *,
    rng: Rng = None,
) -> np.ndarray:
    """Shear an image about its middle by an angle, vertically. :func:`shear2` shears along both axes.

    Middle and default order as in :func:`rotation`.

    Args:
        x: [row, col, channel].
        intensity: radians; with ``is_random`` drawn from [-intensity, intensity].
        is_random: draw the angle.
        row_index, col_index, channel_index: axes of x, (1, 2, 0) for channel-first images.
        fill_mode, cval, order: see :func:`affine_transform`.
        rng: source of randomness; numpy's global state without one.

    Returns:
        Image of the same shape and type.

    >>> x = np.arange(9.0).reshape(3, 3, 1)
    >>> bool(np.array_equal(shear(x, 0.0), x))
    True
    """
    matrix = _shear_matrix(intensity, is_random, rng)
    return _centred(x, matrix, row_index, col_index, channel_index, fill_mode, cval, order)


def shear_multi(
    x: Images,
    intensity: float = 0.1,
    is_random: bool = False,
    row_index: int = 0,
    col_index: int = 1,
    channel_index: int = 2,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    order: int = 1,
    *,
    rng: Rng = None,
) -> Any:
    """:func:`shear` of several images by one angle.

    Args:
        x: images of one height and width.
        intensity, is_random, row_index, col_index, channel_index, fill_mode, cval, order, rng: see :func:`shear`.

    Returns:
        [n, row, col, channel], or a list if the images differ in shape.

    >>> shear_multi(np.ones([2, 4, 4, 1]), 0.2).min()
    np.float64(1.0)
    """
    matrix = _shear_matrix(intensity, is_random, rng)
    return _centred_multi(x, matrix, row_index, col_index, channel_index, fill_mode, cval, order)


def _shear_matrix(intensity: float, is_random: bool, rng: Rng) -> np.ndarray:
    angle = random_source(rng).uniform(-intensity, intensity) if is_random else intensity
    return np.array([[1, -np.sin(angle), 0], [0, np.cos(angle), 0], [0, 0, 1]])


def shear2(
    x: np.ndarray,
    shear: Sequence[float] = (0.1, 0.1),
    is_random: bool = False,
    row_index: int = 0,
    col_index: int = 1,
    channel_index: int = 2,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    order: int = 1,
    *,
    rng: Rng = None,
) -> np.ndarray:
    """Shear an image about its middle along both axes.

    Args:
        x: [row, col, channel].
        shear: (height, width) fractions; with ``is_random`` each is drawn from [-s, s], the height's first. A list is
            left as it is (the original overwrote it with the draws).
        is_random: draw both.
        row_index, col_index, channel_index: axes of x, (1, 2, 0) for channel-first images.
        fill_mode, cval, order: see :func:`affine_transform`.
        rng: source of randomness; numpy's global state without one.

    Returns:
        Image of the same shape and type.

    Raises:
        ValueError, AssertionError: shear is not a pair.

    >>> x = np.arange(9.0).reshape(3, 3, 1)
    >>> shear2(x, (0.0, 1.0))[1].tolist() == x[1].tolist()  # the middle row stays
    True
    """
    matrix = _shear2_matrix(shear, is_random, rng)
    return _centred(x, matrix, row_index, col_index, channel_index, fill_mode, cval, order)


def shear_multi2(
    x: Images,
    shear: Sequence[float] = (0.1, 0.1),
    is_random: bool = False,
    row_index: int = 0,
    col_index: int = 1,
    channel_index: int = 2,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    order: int = 1,
    *,
    rng: Rng = None,
) -> Any:
    """:func:`shear2` of several images by one pair of fractions.

    Args:
        x: images of one height and width.
        shear, is_random, row_index, col_index, channel_index, fill_mode, cval, order, rng: see :func:`shear2`.

    Returns:
        [n, row, col, channel], or a list if the images differ in shape.

    >>> shear_multi2(np.ones([2, 4, 4, 1]), (0.2, 0.1)).shape
    (2, 4, 4, 1)
    """
    matrix = _shear2_matrix(shear, is_random, rng)
    return _centred_multi(x, matrix, row_index, col_index, channel_index, fill_mode, cval, order)


def _shear2_matrix(shear: Sequence[float], is_random: bool, rng: Rng) -> np.ndarray:
    require(len(shear) == 2, f"shear must be two fractions (height, width), not {len(shear)}")
    down, across = shear
    if is_random:
        source = random_source(rng)
        down, across = source.uniform(-down, down), source.uniform(-across, across)
    return np.array([[1, down, 0], [across, 1, 0], [0, 0, 1]])


# --- zoom -------------------------------------------------------------------------------------------------------------


def zoom(
    x: np.ndarray,
    zoom_range: Range = (0.9, 1.1),
    flags: int | None = None,
    border_mode: str = "constant",
    *,
    is_random: bool | None = None,
    row_index: int = 0,
    col_index: int = 1,
    channel_index: int = 2,
    fill_mode: str | None = None,
    cval: float = 0.0,
    order: int = 1,
    rng: Rng = None,
) -> np.ndarray:
    """Zoom into or out of an image about its middle. Three generations, three meanings:

    * 2.x (the default): a factor above 1 enlarges, a pair draws one factor for both axes, outside is black.
    * 1.5.3 (chosen by giving ``is_random``, also as third positional argument): ``zoom_range`` is (factor of the rows,
      factor of the columns), a factor below 1 enlarges, and the edge is repeated. With ``is_random=True`` both
      factors are drawn from the pair, unless it is (1, 1).
    * 1.11 (chosen by ``fill_mode``): the factor means what its documentation says, above 1 enlarges; its code did the
      opposite.

    Args:
        x: [row, col, channel]; in the 2.x form also [row, col].
        zoom_range: factor, or a pair; see above.
        flags, border_mode: see :func:`affine_transform_cv2`; for the 2.x form.
        is_random: chooses the form of 1.5.3.
        row_index, col_index, channel_index, fill_mode, cval, order: see :func:`rotation`; for the 1.x forms.
        rng: source of randomness; numpy's global state without one.

    Returns:
        Image of the same shape and type.

    Raises:
        ValueError: zoom_range is neither a number nor a pair.

    >>> x = np.zeros([4, 4, 1])
    >>> x[1:3, 1:3] = 1
    >>> x.sum(), zoom(x, 2.0).sum(), zoom(x, (0.5, 0.5), is_random=False).sum()
    (np.float64(4.0), np.float64(12.25), np.float64(12.25))
    """
    if isinstance(flags, bool):
        is_random, flags = flags, None
    if is_random is None and fill_mode is None:
        return _zoom_2x(x, affine_zoom_matrix(zoom_range, rng=rng), flags, border_mode)
    matrix = _zoom_matrix_1x(zoom_range, is_random, rng)
    return _centred(x, matrix, row_index, col_index, channel_index, fill_mode or "nearest", cval, order)


def zoom_multi(
    x: Images,
    zoom_range: Range = (0.9, 1.1),
    flags: int | None = None,
    border_mode: str = "constant",
    *,
    is_random: bool | None = None,
    row_index: int = 0,
    col_index: int = 1,
    channel_index: int = 2,
    fill_mode: str | None = None,
    cval: float = 0.0,
    order: int = 1,
    rng: Rng = None,
) -> Any:
    """:func:`zoom` of several images by one factor. (2.2.5's version warps the whole batch instead of each image.)

    Args:
        x: images of one height and width.
        zoom_range, flags, border_mode, is_random, row_index, col_index, channel_index, fill_mode, cval, order, rng:
            see :func:`zoom`; in 1.11 ``zoom_multi`` was still the one of 1.5.3.

    Returns:
        [n, row, col, channel], or a list if the images differ in shape.

    >>> zoom_multi(np.ones([2, 4, 4, 1]), (0.5, 0.5), is_random=False).min()
    np.float64(1.0)
    """
    if isinstance(flags, bool):
        is_random, flags = flags, None
    if is_random is None and fill_mode is None:
        forward = affine_zoom_matrix(zoom_range, rng=rng)
        return stack([_zoom_2x(image, forward, flags, border_mode) for image in x])
    matrix = _zoom_matrix_1x(zoom_range, bool(is_random), rng)
    return _centred_multi(x, matrix, row_index, col_index, channel_index, fill_mode or "nearest", cval, order)


def respective_zoom(
    x: np.ndarray,
    h_range: Range = (0.9, 1.1),
    w_range: Range = (0.9, 1.1),
    flags: int | None = None,
    border_mode: str = "constant",
    *,
    row_index: int = 0,
    col_index: int = 1,
    channel_index: int = 2,
    fill_mode: str | None = None,
    cval: float = 0.0,
    order: int = 1,
    rng: Rng = None,
) -> np.ndarray:
    """Zoom with one factor per axis, about the middle; above 1 enlarges.

    Giving ``fill_mode`` chooses the scipy interpolation of 1.11, with the meaning its documentation gives the factors.

    Args:
        x: [row, col, channel].
        h_range: factor of the height; (low, high) draws one, before the one for the width.
        w_range: factor of the width; (low, high) draws one.
        flags, border_mode: see :func:`affine_transform_cv2`.
        row_index, col_index, channel_index, fill_mode, cval, order: see :func:`rotation`.
        rng: source of randomness; numpy's global state without one.

    Returns:
        Image of the same shape and type.

    >>> respective_zoom(np.ones([4, 4, 1]), h_range=0.5, w_range=1.0).sum(axis=0).ravel().tolist()
    [2.0, 2.0, 2.0, 2.0]
    """
    forward = affine_respective_zoom_matrix(w_range=w_range, h_range=h_range, rng=rng)
    if fill_mode is None:
        return _zoom_2x(x, forward, flags, border_mode)
    matrix = np.diag([1 / forward[1, 1], 1 / forward[0, 0], 1.0])
    return _centred(x, matrix, row_index, col_index, channel_index, fill_mode, cval, order)


def _zoom_2x(x: np.ndarray, forward: np.ndarray, flags: int | None, border_mode: str) -> np.ndarray:
    require(np.ndim(x) in (2, 3), f"an image must be [row, col] or [row, col, channel], not {np.shape(x)}")
    centred = transform_matrix_offset_center(forward, x=x.shape[1], y=x.shape[0])
    return affine_transform_cv2(x, centred, flags, border_mode)


def _zoom_matrix_1x(zoom_range: Range, is_random: bool | None, rng: Rng) -> np.ndarray:
    """Scipy coordinates: the form of 1.5.3, or with ``is_random`` None the documented meaning of 1.11."""
    if is_random is None:
        factor = _draw(zoom_range, "zoom_range", rng)
        return np.diag([1 / factor, 1 / factor, 1.0])
    zx, zy = pair_of_factors(zoom_range, is_random, rng)
    return np.array([[zx, 0, 0], [0, zy, 0], [0, 0, 1]])


def pair_of_factors(zoom_range: Range, is_random: bool, rng: Rng) -> tuple[float, float]:
    """1.5.3's factors of rows and columns: the pair itself, or both drawn from it."""
    if isinstance(zoom_range, (int, float)) or len(zoom_range) != 2:
        raise ValueError(f"zoom_range must be a pair of factors, not {zoom_range!r}")
    low, high = zoom_range
    if is_random and not (low == 1 and high == 1):
        low, high = random_source(rng).uniform(low, high, 2)
    return low, high


# --- shared -----------------------------------------------------------------------------------------------------------


def require_image(x: np.ndarray) -> np.ndarray:
    """x, if it has three axes."""
    require(np.ndim(x) == 3, f"an image must be [row, col, channel], not {np.shape(x)}")
    return x


def _draw(value: Range, name: str, rng: Rng) -> Any:
    """A number as it is; a pair is (low, high) of a uniform draw."""
    if isinstance(value, (tuple, list)):
        require(len(value) == 2, f"{name} must be a number or a pair (low, high), not {value!r}")
        return random_source(rng).uniform(value[0], value[1])
    require(isinstance(value, (int, float, np.number)), f"{name} must be a number or a pair (low, high), not {value!r}")
    return value


def middle_matrix(matrix: np.ndarray, x: np.ndarray, row_index: int, col_index: int) -> np.ndarray:
    """A matrix in scipy coordinates, moved to the middle of x: its first axis is the row."""
    return transform_matrix_offset_center(matrix, x=require_image(x).shape[row_index], y=x.shape[col_index])


def _centred(
    x: np.ndarray, matrix: np.ndarray, row: int, col: int, channel: int, fill_mode: str, cval: float, order: int
) -> np.ndarray:
    return affine_transform(x, middle_matrix(matrix, x, row, col), channel, fill_mode, cval, order)


def _centred_multi(
    x: Images, matrix: np.ndarray, row: int, col: int, channel: int, fill_mode: str, cval: float, order: int
) -> Any:
    return _warp_multi(x, middle_matrix(matrix, x[0], row, col), channel, fill_mode, cval, order)


def _warp_multi(x: Images, matrix: np.ndarray, channel: int, fill_mode: str, cval: float, order: int) -> Any:
    first = x[0]
    if any(image.shape != first.shape or image.dtype != first.dtype for image in x):
        return stack([affine_transform(image, matrix, channel, fill_mode, cval, order) for image in x])
    out = np.empty((len(x), *first.shape), first.dtype)
    for image, place in zip(x, out, strict=True):
        _warp_into(place, image, matrix, channel, fill_mode, cval, order)
    return out


def _warp_into(
    out: np.ndarray, x: np.ndarray, matrix: np.ndarray, channel: int, fill_mode: str, cval: float, order: int
) -> None:
    pairs = zip(np.moveaxis(x, channel, 0), np.moveaxis(out, channel, 0), strict=True)
    for plane, place in pairs:
        ndimage.affine_transform(
            plane, matrix[:2, :2], matrix[:2, 2], output=place, order=order, mode=fill_mode, cval=cval
        )


def stack(images: list[np.ndarray]) -> Any:
    """One array if the images have one shape, else the list (a colour image and its one-channel mask)."""
    try:
        return np.asarray(images)
    except ValueError:  # numpy's word for "the shapes differ"
        return images
