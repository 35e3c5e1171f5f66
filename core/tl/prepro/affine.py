"""Affine distortions of images: rotate, shift, shear, zoom.

Images are [row, col, channel]. The `_multi` form of a distortion treats several images alike, with one random draw: an
image and its segmentation mask, for example.

Two coordinate systems, as in TensorLayer. "scipy": a matrix maps output (row, col) to input (row, col). "OpenCV": a
matrix maps input (x, y) = (col, row) to output (x, y); see ``matrices``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from core.tl.errors import require
from core.tl.prepro.matrices import (
    Range,
    affine_respective_zoom_matrix,
    affine_zoom_matrix,
    number_or_drawn,
    transform_matrix_offset_center,
)
from core.tl.prepro.multi import multi
from core.tl.prepro.opencv import affine_transform_cv2
from core.tl.randomness import Rng, uniform

__all__ = [
    "affine_transform",
    "affine_transform_keypoints",
    "apply_transform",
    "middle_matrix",
    "pair_of_factors",
    "respective_zoom",
    "rotation",
    "rotation_multi",
    "shear",
    "shear2",
    "shear_multi",
    "shear_multi2",
    "shift",
    "shift_matrix",
    "shift_multi",
    "zoom",
    "zoom_multi",
]


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
    out = np.empty_like(_require_image(x))
    for plane, place in zip(np.moveaxis(x, channel_index, 0), np.moveaxis(out, channel_index, 0), strict=True):
        ndimage.affine_transform(
            plane,
            transform_matrix[:2, :2],
            transform_matrix[:2, 2],
            output=place,
            order=order,
            mode=fill_mode,
            cval=cval,
        )
    return out


apply_transform = affine_transform  # its name in 1.5.3


def affine_transform_keypoints(coords_list: Sequence[Any], transform_matrix: np.ndarray) -> list[np.ndarray]:
    """Move points by a matrix in OpenCV coordinates.

    Args:
        coords_list: one entry per person: [(x, y), ...].
        transform_matrix: [3, 3].

    Returns:
        One array [points, 2] per person.

    Raises:
        ValueError: a person without points.

    >>> affine_transform_keypoints([[(1, 2), (3, 4)]], np.diag([2, 1, 1]))[0].tolist()
    [[2, 2], [6, 4]]
    """
    moved = []
    for points in coords_list:
        require(np.ndim(points) == 2, f"a person must be points [(x, y), ...], not {points!r}")
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


def _rotation_matrix(rg: float, is_random: bool, rng: Rng) -> np.ndarray:
    theta = np.pi / 180 * (uniform(rng, -rg, rg) if is_random else rg)
    return np.array([[np.cos(theta), -np.sin(theta), 0], [np.sin(theta), np.cos(theta), 0], [0, 0, 1]])


rotation_multi = multi(
    "rotation_multi",
    rotation,
    """:func:`rotation` of several images by one angle.

    >>> x = np.arange(4.0).reshape(2, 2, 1)
    >>> rotation_multi([x, x], 90).shape
    (2, 2, 2, 1)
    """,
)


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
    matrix = shift_matrix(_require_image(x).shape[row_index], x.shape[col_index], wrg, hrg, is_random, rng)
    return affine_transform(x, matrix, channel_index, fill_mode, cval, order)


def shift_matrix(h: int, w: int, wrg: float, hrg: float, is_random: bool, rng: Rng) -> np.ndarray:
    """Translation in scipy coordinates, by fractions of the height (drawn first) and the width."""
    if is_random:
        hrg, wrg = uniform(rng, -hrg, hrg), uniform(rng, -wrg, wrg)
    return np.array([[1, 0, hrg * h], [0, 1, wrg * w], [0, 0, 1]])


shift_multi = multi(
    "shift_multi",
    shift,
    """:func:`shift` of several images by one distance.

    >>> shift_multi(np.ones([2, 4, 4, 1]), 0.25, 0.25, fill_mode="constant").sum(axis=(1, 2, 3)).tolist()
    [9.0, 9.0]
    """,
)


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


def _shear_matrix(intensity: float, is_random: bool, rng: Rng) -> np.ndarray:
    angle = uniform(rng, -intensity, intensity) if is_random else intensity
    return np.array([[1, -np.sin(angle), 0], [0, np.cos(angle), 0], [0, 0, 1]])


shear_multi = multi(
    "shear_multi",
    shear,
    """:func:`shear` of several images by one angle.

    >>> float(shear_multi(np.ones([2, 4, 4, 1]), 0.2).min())
    1.0
    """,
)


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


def _shear2_matrix(shear: Sequence[float], is_random: bool, rng: Rng) -> np.ndarray:
    require(len(shear) == 2, f"shear must be two fractions (height, width), not {len(shear)}")
    down, across = shear
    if is_random:
        down, across = uniform(rng, -down, down), uniform(rng, -across, across)
    return np.array([[1, down, 0], [across, 1, 0], [0, 0, 1]])


shear_multi2 = multi(
    "shear_multi2",
    shear2,
    """:func:`shear2` of several images by one pair of fractions.

    >>> shear_multi2(np.ones([2, 4, 4, 1]), (0.2, 0.1)).shape
    (2, 4, 4, 1)
    """,
)


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


def _zoom_of_several(
    x: np.ndarray, *, is_random: bool | None = None, fill_mode: str | None = None, **others: Any
) -> np.ndarray:
    """With ``fill_mode`` the form of 1.5.3: in 1.11 ``zoom_multi`` was still that one."""
    if is_random is None and fill_mode is not None:
        is_random = False
    return zoom(x, is_random=is_random, fill_mode=fill_mode, **others)


zoom_multi = multi(
    "zoom_multi",
    zoom,
    """:func:`zoom` of several images by one factor. (2.2.5's version warps the whole batch instead of each image.)

    Giving ``fill_mode`` chooses the form of 1.5.3: in 1.11 ``zoom_multi`` was still that one.

    >>> float(zoom_multi(np.ones([2, 4, 4, 1]), (0.5, 0.5), is_random=False).min())
    1.0
    """,
    each=_zoom_of_several,
    needs_image="never",
)


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
        factor = number_or_drawn(zoom_range, "zoom_range", rng)
        return np.diag([1 / factor, 1 / factor, 1.0])
    zx, zy = pair_of_factors(zoom_range, is_random, rng)
    return np.array([[zx, 0, 0], [0, zy, 0], [0, 0, 1]])


def pair_of_factors(zoom_range: Range, is_random: bool, rng: Rng) -> tuple[float, float]:
    """1.5.3's factors of rows and columns: the pair itself, or both drawn from it."""
    if isinstance(zoom_range, (int, float)) or len(zoom_range) != 2:
        raise ValueError(f"zoom_range must be a pair of factors, not {zoom_range!r}")
    low, high = zoom_range
    if is_random and not (low == 1 and high == 1):
        low, high = uniform(rng, low, high, 2)
    return low, high


# --- shared -----------------------------------------------------------------------------------------------------------


def _require_image(x: np.ndarray) -> np.ndarray:
    """x, if it has three axes."""
    require(np.ndim(x) == 3, f"an image must be [row, col, channel], not {np.shape(x)}")
    return x


def middle_matrix(matrix: np.ndarray, x: np.ndarray, row_index: int, col_index: int) -> np.ndarray:
    """A matrix in scipy coordinates, moved to the middle of x: its first axis is the row."""
    return transform_matrix_offset_center(matrix, x=_require_image(x).shape[row_index], y=x.shape[col_index])


def _centred(
    x: np.ndarray, matrix: np.ndarray, row: int, col: int, channel: int, fill_mode: str, cval: float, order: int
) -> np.ndarray:
    return affine_transform(x, middle_matrix(matrix, x, row, col), channel, fill_mode, cval, order)
