"""Distortions of an image of people together with their keypoints and a mask.

``annos`` holds one list of points (x, y) per person; (-1000, -1000) stands for a point that is not in the image.
Images are resized and rotated the way OpenCV does it with INTER_AREA, without OpenCV.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from core.tl.errors import require
from core.tl.prepro.opencv import affine_transform_cv2, resize_area
from core.tl.randomness import Rng, integer_below, python_integer, random_source

__all__ = [
    "keypoint_random_crop",
    "keypoint_random_flip",
    "keypoint_random_resize",
    "keypoint_random_resize_shortestedge",
    "keypoint_random_rotate",
    "keypoint_resize_random_crop",
]

People = Sequence[Sequence[Any]]
Distorted = tuple[np.ndarray, list[list[Any]], np.ndarray | None]

ABSENT = (-1000, -1000)
COCO_FLIP = (0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16, 18)


def keypoint_random_crop(
    image: np.ndarray,
    annos: People,
    mask: np.ndarray | None = None,
    size: tuple[int, int] = (368, 368),
    *,
    rng: Rng = None,
) -> Distorted:
    """Cut out a random window.

    The original draws a place fifty times, meaning to stop at one with a person, and always takes the last; without
    ``rng`` this consumes the random state of the standard library the same way. With ``rng`` it stops, as meant, at a
    window that holds the first point of a person.

    Args:
        image: [row, col(, 3)].
        annos: points of each person.
        mask: [row, col].
        size: (height, width) of the window.
        rng: source of randomness; the standard library's `random` without one.

    Returns:
        Window, points in it, and the mask's window.

    >>> keypoint_random_crop(np.zeros([4, 4, 3]), [[(1, 1), (3, 3)]], size=(3, 4))[0].shape
    (3, 4, 3)
    """
    image = _three_channels(image)
    target_h, target_w = size
    height, width = image.shape[:2]
    x = y = 0
    for _ in range(50):
        x = python_integer(rng, 0, width - target_w - 1) if width > target_w else 0
        y = python_integer(rng, 0, height - target_h - 1) if height > target_h else 0
        heads = (person[0] for person in annos if len(person) > 0)
        if rng is not None and any(x <= h[0] < x + target_w and y <= h[1] < y + target_h for h in heads):
            break

    def move(point: Any) -> Any:
        if point[0] < -10 or point[1] < -10:
            return ABSENT
        moved = (point[0] - x, point[1] - y)
        return ABSENT if moved[0] > target_w - 1 or moved[1] > target_h - 1 else moved

    window = (slice(y, y + target_h), slice(x, x + target_w))
    return image[window], _moved(annos, move), None if mask is None else mask[window]


def keypoint_resize_random_crop(
    image: np.ndarray,
    annos: People,
    mask: np.ndarray | None = None,
    size: tuple[int, int] = (368, 368),
    *,
    rng: Rng = None,
) -> Distorted:
    """Resize an image so that it just covers a window, then cut the window out of the longer side (as 2.x does it).

    Args:
        image: [row, col(, 3)].
        annos: points of each person.
        mask: [row, col].
        size: (height, width) of the window.
        rng: source of randomness; numpy's global state without one.

    Returns:
        Window, points in it, and the mask's window.

    >>> keypoint_resize_random_crop(np.ones([4, 8, 3]), [[(2, 2)]], size=(2, 2))[0].shape
    (2, 2, 3)
    """
    image = _three_channels(image)
    target_h, target_w = size
    height, width = image.shape[:2]
    scale = max(target_h / height, target_w / width)
    new_w, new_h = round(width * scale), round(height * scale)
    ratio_x, ratio_y = new_w / width, new_h / height

    def rescale(point: Any) -> Any:
        if point[0] < 0 or point[1] < 0:
            return ABSENT
        moved = (int(point[0] * ratio_x + 0.5), int(point[1] * ratio_y + 0.5))
        return ABSENT if moved[0] > new_w - 1 or moved[1] > new_h - 1 else moved

    annos = _moved(annos, rescale)
    image = resize_area(image, new_w, new_h)
    mask = None if mask is None else resize_area(mask, new_w, new_h)
    left = top = 0
    if new_h > target_h:
        top = integer_below(rng, 0, new_h - target_h)
    elif new_w > target_w:
        left = integer_below(rng, 0, new_w - target_w)
    else:
        return image, annos, mask

    def move(point: Any) -> Any:
        inside = top <= point[1] <= top + target_h - 1 if new_h > target_h else left <= point[0] <= left + target_w - 1
        return (int(point[0] - left), int(point[1] - top)) if inside else ABSENT

    window = (slice(top, top + target_h), slice(left, left + target_w))  # one of the two keeps the whole side
    return image[window], _moved(annos, move), None if mask is None else mask[window]


def keypoint_random_rotate(
    image: np.ndarray, annos: People, mask: np.ndarray | None = None, rg: float = 15.0, *, rng: Rng = None
) -> Distorted:
    """Rotate about the middle by a random angle and cut out the largest upright rectangle without a black corner.

    Args:
        image: [row, col(, 3)].
        annos: points of each person.
        mask: [row, col].
        rg: degrees; the angle is drawn from [-rg, rg].
        rng: source of randomness; numpy's global state without one.

    Returns:
        Image, points in it, and mask.

    >>> keypoint_random_rotate(np.ones([8, 8, 3]), [[(4, 4)]], rg=0.0)[1]
    [[(4, 4)]]
    """
    angle = random_source(rng).uniform(-rg, rg)
    height, width = image.shape[:2]
    rotated, left, top = _rotated_inside(image, angle)
    new_h, new_w = rotated.shape[:2]
    radians = -angle / 180.0 * math.pi
    cos, sin = math.cos(radians), math.sin(radians)

    def move(point: Any) -> Any:
        if point[0] < -100 or point[1] < -100:
            return ABSENT
        px, py = point[0] - width / 2, point[1] - height / 2
        x = int(cos * px - sin * py + (width / 2 - left) + 0.5)
        y = int(sin * px + cos * py + (height / 2 - top) + 0.5)
        return (x, y) if 0 <= x <= new_w - 1 and 0 <= y <= new_h - 1 else ABSENT

    return rotated, _moved(annos, move), None if mask is None else _rotated_inside(mask, angle)[0]


def keypoint_random_flip(
    image: np.ndarray,
    annos: People,
    mask: np.ndarray | None = None,
    prob: float = 0.5,
    flip_list: Sequence[int] = COCO_FLIP,
    *,
    rng: Rng = None,
) -> tuple[np.ndarray, Any, np.ndarray | None]:
    """Mirror left and right.

    ``prob`` is the probability that the image **stays as it is**, in every TensorLayer; the documentation says the
    opposite. Code written for either sees no difference at the usual 0.5.

    Args:
        image: [row, col, 3].
        annos: points of each person.
        mask: [row, col].
        prob: see above.
        flip_list: which point takes whose place, so that left stays left. COCO's order by default; () keeps the order.
        rng: source of randomness; numpy's global state without one.

    Returns:
        Image, points and mask.

    >>> keypoint_random_flip(np.zeros([4, 8, 3]), [[(1, 2), (3, 2)]], prob=0.0, flip_list=(1, 0))[1]
    [[(5, 2), (7, 2)]]
    """
    if random_source(rng).uniform(0, 1.0) < prob:
        return image, annos, mask
    height, width = image.shape[:2]

    def move(point: Any) -> Any:
        if point[0] < 0 or point[1] < 0 or point[0] > width - 1 or point[1] > height - 1 or point[0] < 1:
            return ABSENT
        return (width - point[0], point[1])

    flipped = _moved([[person[k] for k in flip_list or range(len(person))] for person in annos], move)
    return np.flip(image, 1), flipped, None if mask is None else np.flip(mask, 1)


def keypoint_random_resize(
    image: np.ndarray,
    annos: People,
    mask: np.ndarray | None = None,
    zoom_range: tuple[float, float] = (0.8, 1.2),
    *,
    rng: Rng = None,
) -> Distorted:
    """Resize width and height by one random factor each, the width's drawn first.

    Args:
        image: [row, col(, channel)].
        annos: points of each person.
        mask: [row, col].
        zoom_range: (low, high) of both factors.
        rng: source of randomness; numpy's global state without one.

    Returns:
        Image, points and mask.

    >>> keypoint_random_resize(np.ones([4, 8, 3]), [[(2, 2)]], zoom_range=(0.5, 0.5))[1]
    [[(1, 1)]]
    """
    source = random_source(rng)
    scale_w, scale_h = source.uniform(*zoom_range), source.uniform(*zoom_range)
    new_w, new_h = int(image.shape[1] * scale_w), int(image.shape[0] * scale_h)

    def move(point: Any) -> Any:
        if point[0] < -100 or point[1] < -100:
            return ABSENT
        return (int(point[0] * scale_w + 0.5), int(point[1] * scale_h + 0.5))

    resized_mask = None if mask is None else resize_area(mask, new_w, new_h)
    return resize_area(image, new_w, new_h), _moved(annos, move), resized_mask


def keypoint_random_resize_shortestedge(
    image: np.ndarray,
    annos: People,
    mask: np.ndarray | None = None,
    min_size: tuple[int, int] = (368, 368),
    zoom_range: tuple[float, float] = (0.8, 1.2),
    pad_val: float | Sequence[float] | None = None,
    *,
    rng: Rng = None,
) -> Distorted:
    """Resize both sides by one random factor around what fits ``min_size``, then pad to it where that is larger.

    Args:
        image: [row, col(, 3)].
        annos: points of each person.
        mask: [row, col]; padded with 1.
        min_size: (height, width) of the result at least.
        zoom_range: (low, high) of the factor.
        pad_val: value of each channel of the padding, or one number for the first (OpenCV's rule). Without it
            (0, 0, u) with u drawn from [0, 1); the original draws u once, when it is imported.
        rng: source of randomness; numpy's global state without one.

    Returns:
        Image, points and mask.

    >>> keypoint_random_resize_shortestedge(
    ...     np.ones([4, 4, 3]), [[(2, 2)]], min_size=(4, 4), zoom_range=(0.5, 0.5), pad_val=(0, 0, 0)
    ... )[0].shape
    (4, 4, 3)
    """
    image = _three_channels(image)
    target_h, target_w = min_size
    height, width = image.shape[:2]
    ratio = min(target_w / width, target_h / height)
    fitting = int(min(width * ratio + 0.5, height * ratio + 0.5))
    edge = int(fitting * random_source(rng).uniform(*zoom_range))
    scale = edge / min(height, width)
    new_h, new_w = (edge, int(scale * width + 0.5)) if height < width else (int(scale * height + 0.5), edge)
    resized = resize_area(image, new_w, new_h)
    resized_mask = None if mask is None else resize_area(mask, new_w, new_h)
    pad_x = pad_y = 0
    if new_w < target_w or new_h < target_h:
        pad_x, pad_y = max(0, (target_w - new_w) // 2), max(0, (target_h - new_h) // 2)
        more_x, more_y = (target_w - new_w) % 2, (target_h - new_h) % 2
        if pad_val is None:
            pad_val = (0, 0, random_source(rng).uniform(0.0, 1.0))
        border = ((pad_y, pad_y + more_y), (pad_x, pad_x + more_x))
        resized = _padded(resized, border, pad_val)
        resized_mask = None if resized_mask is None else _padded(resized_mask, border, 1)

    def move(point: Any) -> Any:
        if point[0] < -100 or point[1] < -100:
            return ABSENT
        return (int(point[0] * scale + 0.5) + pad_x, int(point[1] * scale + 0.5) + pad_y)

    return resized, _moved(annos, move), resized_mask


# --- shared -----------------------------------------------------------------------------------------------------------


def _moved(annos: People, move: Callable[[Any], Any]) -> list[list[Any]]:
    return [[move(point) for point in person] for person in annos]


def _three_channels(image: np.ndarray) -> np.ndarray:
    require(np.ndim(image) in (2, 3), f"an image must be [row, col] or [row, col, channel], not {np.shape(image)}")
    return np.stack([image] * 3, axis=-1) if image.ndim == 2 else image


def _padded(image: np.ndarray, border: tuple[tuple[int, int], tuple[int, int]], value: Any) -> np.ndarray:
    (above, below), (left, right) = border
    height, width = image.shape[:2]
    out = np.empty((above + height + below, left + width + right, *image.shape[2:]), image.dtype)
    values = np.zeros(image.shape[2:] or 1)  # a single number is the first channel's value, the others are 0
    given = np.atleast_1d(value)[: len(values)]
    values[: len(given)] = np.rint(given) if image.dtype.kind in "iu" else given
    out[...] = values
    out[above : above + height, left : left + width] = image
    return out


def _rotated_inside(image: np.ndarray, angle: float) -> tuple[np.ndarray, int, int]:
    """Rotate about the middle and cut off the corners that have become black; also where the rest begins (x, y)."""
    height, width = image.shape[:2]
    mid_x, mid_y = width * 0.5, height * 0.5
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    cx, cy = int(mid_x), int(mid_y)
    matrix = np.array([[cos, sin, (1 - cos) * cx - sin * cy], [-sin, cos, sin * cx + (1 - cos) * cy], [0, 0, 1]])
    rotated = affine_transform_cv2(image, matrix)
    new_w, new_h = _largest_upright_rectangle(width, height, angle)
    new_w, new_h = min(new_w, width), min(new_h, height)
    left, top = int(mid_x - new_w * 0.5), int(mid_y - new_h * 0.5)
    return rotated[top : top + new_h, left : left + new_w], left, top


def _largest_upright_rectangle(w: int, h: int, angle: float) -> tuple[int, int]:
    """Width and height of the largest axis-parallel rectangle inside a w x h rectangle turned by ``angle`` degrees."""
    sin, cos = abs(math.sin(math.radians(angle))), abs(math.cos(math.radians(angle)))
    long, short = max(w, h), min(w, h)
    if short <= 2.0 * sin * cos * long:  # two corners touch the long sides, the other two lie on the middle line
        half = 0.5 * short
        inner_w, inner_h = (half / sin, half / cos) if w >= h else (half / cos, half / sin)
    else:  # all four corners touch a side
        cos_2a = cos * cos - sin * sin
        inner_w, inner_h = (w * cos - h * sin) / cos_2a, (h * cos - w * sin) / cos_2a
    return int(np.round(inner_w)), int(np.round(inner_h))
