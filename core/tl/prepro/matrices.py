"""Matrices of affine distortions, in OpenCV coordinates: they map an input (x, y) = (col, row) to its output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.tl.errors import require
from core.tl.randomness import Rng, uniform

__all__ = [
    "Range",
    "affine_horizontal_flip_matrix",
    "affine_respective_zoom_matrix",
    "affine_rotation_matrix",
    "affine_shear_matrix",
    "affine_shift_matrix",
    "affine_vertical_flip_matrix",
    "affine_zoom_matrix",
    "number_or_drawn",
    "transform_matrix_offset_center",
]

Range = float | Sequence[float]
"""A fixed number, or (low, high) to draw from uniformly."""


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
    theta = np.pi / 180 * number_or_drawn(angle, "angle", rng)
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
    return np.diag([-1.0 if prob >= uniform(rng, 0, 1) else 1.0, 1.0, 1.0])


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
    return np.diag([1.0, -1.0 if prob >= uniform(rng, 0, 1) else 1.0, 1.0])


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
    tx = number_or_drawn(wrg, "wrg", rng) * w
    ty = number_or_drawn(hrg, "hrg", rng) * h
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
    x, y = number_or_drawn(x_shear, "x_shear", rng), number_or_drawn(y_shear, "y_shear", rng)
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
    factor = number_or_drawn(zoom_range, "zoom_range", rng)
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
    zy = number_or_drawn(h_range, "h_range", rng)
    zx = number_or_drawn(w_range, "w_range", rng)
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


def number_or_drawn(value: Range, name: str, rng: Rng) -> Any:
    """A number as it is; a pair is (low, high) of a uniform draw."""
    if isinstance(value, (tuple, list)):
        require(len(value) == 2, f"{name} must be a number or a pair (low, high), not {value!r}")
        return uniform(rng, value[0], value[1])
    require(isinstance(value, (int, float, np.number)), f"{name} must be a number or a pair (low, high), not {value!r}")
    return value
