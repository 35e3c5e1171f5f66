"""Shapes in an image [row, col]: contours, points, growing and shrinking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from core.tl.errors import require

__all__ = ["binary_dilation", "binary_erosion", "dilation", "erosion", "find_contours", "pt2map"]


def find_contours(
    x: np.ndarray, level: float = 0.8, fully_connected: str = "low", positive_orientation: str = "low"
) -> list[np.ndarray]:
    """Lines along which an image has one value (skimage.measure.find_contours).

    Args:
        x: [row, col].
        level: the value.
        fully_connected, positive_orientation: "low" or "high", see skimage. (1.5.3 ignored both.)

    Returns:
        One array [points, 2] of (row, col) per contour.

    >>> [len(c) for c in find_contours(np.pad(np.ones([1, 1]), 1), 0.5)]
    [5]
    """
    from skimage import measure

    return measure.find_contours(x, level, fully_connected=fully_connected, positive_orientation=positive_orientation)


def pt2map(list_points: Sequence[Any] | None = None, size: tuple[int, int] = (100, 100), val: float = 1) -> np.ndarray:
    """Draw points into an empty image.

    Args:
        list_points: [[row, col], ...] as the documentation has it, or [[[row, col], ...], ...] as the code wants it
            (contours). Rounded to whole pixels.
        size: shape of the image.
        val: value of a point.

    Returns:
        float64 image of shape ``size``.

    Raises:
        ValueError: no list.

    >>> pt2map([[[0, 1]], [[1, 0.2]]], size=(2, 2)).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    if list_points is None:
        raise ValueError("list_points must be a list of points [row, col], not None")
    image = np.zeros(size)
    for entry in list_points:
        for point in entry if len(entry) == 0 or np.ndim(entry[0]) > 0 else [entry]:
            image[int(np.round(point[0])), int(np.round(point[1]))] = val
    return image


def binary_dilation(x: np.ndarray, radius: int = 3) -> np.ndarray:
    """Grow the true pixels by a disk.

    Args:
        x: [row, col].
        radius: of the disk, in pixels.

    Returns:
        bool [row, col].

    >>> binary_dilation(np.pad(np.ones([1, 1]), 1), radius=1).sum()
    np.int64(5)
    """
    return ndimage.binary_dilation(x, structure=_disk(x, radius))


def binary_erosion(x: np.ndarray, radius: int = 3) -> np.ndarray:
    """Shrink the true pixels by a disk; beyond the border everything counts as true.

    Args:
        x: [row, col].
        radius: of the disk, in pixels.

    Returns:
        bool [row, col].

    >>> binary_erosion(np.ones([3, 3]), radius=1).all()
    np.True_
    """
    return ndimage.binary_erosion(x, structure=_disk(x, radius), border_value=True)


def dilation(x: np.ndarray, radius: int = 3) -> np.ndarray:
    """Maximum over a disk. (From 1.8 to 2.2.5 the original calls itself for ever.)

    Args:
        x: [row, col].
        radius: of the disk, in pixels.

    Returns:
        Image of the same shape and type.

    >>> dilation(np.asarray([[0, 3, 0]]), radius=1).tolist()
    [[3, 3, 3]]
    """
    return ndimage.grey_dilation(x, footprint=_disk(x, radius))


def erosion(x: np.ndarray, radius: int = 3) -> np.ndarray:
    """Minimum over a disk.

    Args:
        x: [row, col].
        radius: of the disk, in pixels.

    Returns:
        Image of the same shape and type.

    >>> erosion(np.asarray([[5, 3, 5]]), radius=1).tolist()
    [[3, 3, 3]]
    """
    return ndimage.grey_erosion(x, footprint=_disk(x, radius))


def _disk(x: np.ndarray, radius: int) -> np.ndarray:
    require(np.ndim(x) == 2, f"morphology needs an image [row, col], not {np.shape(x)}")
    distance = np.arange(-radius, radius + 1)
    return distance[:, None] ** 2 + distance**2 <= radius**2
