"""Warping and shrinking of images as OpenCV does it, to the bit and without OpenCV."""

from __future__ import annotations

import numpy as np

from core.tl.errors import require, require_pixels

__all__ = ["affine_transform_cv2", "resize_area"]

# OpenCV's numbers for the interpolations that `flags` may name. INTER_AREA means INTER_LINEAR when warping.
INTER_NEAREST, INTER_LINEAR, INTER_AREA = 0, 1, 3


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
    >>> affine_transform_cv2(x, np.asarray([[1, 0, 1], [0, 1, 0]])).tolist()  # one pixel to the right
    [[0, 0, 1], [0, 3, 4]]
    """
    if border_mode not in ("constant", "replicate"):
        raise ValueError(f"border_mode must be 'constant' or 'replicate', not {border_mode!r}")
    flags = INTER_AREA if flags is None else flags
    if flags not in (INTER_NEAREST, INTER_LINEAR, INTER_AREA):
        raise ValueError(f"flags must be 0 (nearest), 1 (linear) or 3 (area), not {flags!r}")
    require_pixels(x)
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


def resize_area(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """cv2.resize with INTER_AREA: the mean over the covered area, or if a side grows its variant of bilinear."""
    require(width >= 1 and height >= 1, f"an image cannot be resized to {width} x {height}")
    old_height, old_width = image.shape[:2]
    if old_height < height or old_width < width:
        return _resize_bilinear(image, width, height)
    if old_height % height == 0 and old_width % width == 0:
        means = _block_means(image, width, height)
    else:
        precise = image.astype(np.float64 if image.dtype == np.float64 else np.float32)
        means = _mean_along(_mean_along(precise, width, axis=1), height, axis=0)
    if image.dtype.kind in "iu":
        halves = (old_height, old_width) == (2 * height, 2 * width)
        means = np.floor(means + 0.5) if halves else np.rint(means)  # OpenCV rounds means of 2 x 2 pixels up
    return means.astype(image.dtype)


def _block_means(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Every new pixel covers whole old ones. Like OpenCV, multiply by the inverse area in single precision."""
    block_h, block_w = image.shape[0] // height, image.shape[1] // width
    blocks = image.reshape(height, block_h, width, block_w, *image.shape[2:])
    sums = blocks.sum(axis=(1, 3), dtype=np.float64)
    if image.dtype != np.float64:
        sums = sums.astype(np.float32)
    return sums * np.float32(1 / (block_h * block_w))


def _mean_along(image: np.ndarray, new: int, axis: int) -> np.ndarray:
    """Shrink one axis: each new pixel is the mean of the old ones it covers, added up from the first one on."""
    old = image.shape[axis]
    scale = 1.0 / (new / old)  # rounded twice, like OpenCV's
    start = np.arange(new) * scale
    pixels = np.floor(start).astype(np.int64) + np.arange(int(np.ceil(scale)) + 1)[:, None]  # [taps, new]
    covered = np.minimum(np.minimum(pixels + 1, start + scale), old) - np.maximum(pixels, start)
    covered[covered < 1e-3] = 0  # OpenCV leaves out slivers
    weights = (covered / np.minimum(scale, old - start)).astype(np.float32)
    shape = [1] * image.ndim
    shape[axis] = new
    total = np.zeros((), image.dtype)
    for pixel, weight in zip(np.minimum(pixels, old - 1), weights, strict=True):
        total = total + weight.reshape(shape).astype(image.dtype) * np.take(image, pixel, axis)
    return total


def _resize_bilinear(image: np.ndarray, width: int, height: int) -> np.ndarray:
    top, below = _straddled(image.shape[0], height)
    left, right = _straddled(image.shape[1], width)
    image_below, image_right = np.minimum(top + 1, image.shape[0] - 1), np.minimum(left + 1, image.shape[1] - 1)
    channels = (None,) * (image.ndim - 2)
    right, below = right[(slice(None), *channels)], below[(slice(None), None, *channels)]
    if image.dtype != np.uint8:
        across = (1 - right) * image[:, left] + right * image[:, image_right]
        return ((1 - below) * across[top] + below * across[image_below]).astype(image.dtype)
    # OpenCV's arithmetic for bytes: weights of 11 bits, and intermediate results cut, not rounded.
    left_weight, right_weight = (np.rint(w * np.float32(2048)).astype(np.int64) for w in (1 - right, right))
    upper_weight, lower_weight = (np.rint(w * np.float32(2048)).astype(np.int64) for w in (1 - below, below))
    across = (left_weight * image[:, left] + right_weight * image[:, image_right]) >> 4
    mixed = ((upper_weight * across[top]) >> 16) + ((lower_weight * across[image_below]) >> 16)
    return ((mixed + 2) >> 2).astype(np.uint8)


def _straddled(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """For each new pixel the old one it begins in, and the float32 part of it that lies in the next one."""
    magnification = new / old
    pixel = np.arange(new)
    first = np.floor(pixel * (1.0 / magnification)).astype(np.int64)
    part = ((pixel + 1) - (first + 1) * magnification).astype(np.float32)
    part = np.where(part <= 0, np.float32(0), part - np.floor(part))
    part[first >= old - 1] = 0
    return np.minimum(first, old - 1), part
