"""Bounding boxes of objects, and distortions that keep image and boxes together.

A box is [x, y, w, h]: in pixels or as fractions of the image ("rescaled"), with (x, y) its upper left corner or its
centre ("centroid", the darknet format).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from core.tl.errors import require
from core.tl.prepro.affine import affine_transform, middle_matrix, pair_of_factors, shift_matrix
from core.tl.prepro.pixels import imresize
from core.tl.prepro.warp import flip_axis
from core.tl.randomness import Rng, random_source

__all__ = [
    "obj_box_coord_centroid_to_upleft",
    "obj_box_coord_centroid_to_upleft_butright",
    "obj_box_coord_rescale",
    "obj_box_coord_scale_to_pixelunit",
    "obj_box_coord_upleft_butright_to_centroid",
    "obj_box_coord_upleft_to_centroid",
    "obj_box_coords_rescale",
    "obj_box_crop",
    "obj_box_horizontal_flip",
    "obj_box_imresize",
    "obj_box_left_right_flip",
    "obj_box_shift",
    "obj_box_zoom",
    "parse_darknet_ann_list_to_cls_box",
    "parse_darknet_ann_str_to_list",
]

Box = Sequence[Any]


def obj_box_coords_rescale(coords: Sequence[Box] | None = None, shape: Sequence[int] | None = None) -> list[list[Any]]:
    """Boxes in pixels to fractions of the image.

    Args:
        coords: boxes [x, y, w, h].
        shape: (height, width) of the image; [100, 200] without.

    Returns:
        List of boxes.

    Raises:
        ValueError, AssertionError: a box has no four numbers.

    >>> obj_box_coords_rescale([[30, 40, 50, 50]], shape=[50, 100])
    [[0.3, 0.8, 0.5, 1.0]]
    """
    height, width = (100, 200) if shape is None else shape[:2]
    return [[x / width, y / height, w / width, h / height] for x, y, w, h in _boxes(coords)]


def obj_box_coord_rescale(coord: Box | None = None, shape: Sequence[int] | None = None) -> list[Any]:
    """One box in pixels to fractions of the image; the inverse of :func:`obj_box_coord_scale_to_pixelunit`.

    Args:
        coord: box [x, y, w, h].
        shape: (height, width) of the image; [100, 200] without.

    Returns:
        Box.

    >>> obj_box_coord_rescale([30, 40, 50, 50], shape=[100, 100])
    [0.3, 0.4, 0.5, 0.5]
    """
    return obj_box_coords_rescale([[] if coord is None else coord], shape)[0]


def obj_box_coord_scale_to_pixelunit(coord: Box, shape: Sequence[int] | None = None) -> list[int]:
    """One box in fractions of the image to whole pixels, rounded down.

    Args:
        coord: [x, y, w or x2, h or y2].
        shape: (height, width, ...) of the image; [100, 100] without.

    Returns:
        Box of integers.

    >>> obj_box_coord_scale_to_pixelunit([0.2, 0.3, 0.5, 0.7], shape=(100, 200, 3))
    [40, 30, 100, 70]
    """
    height, width = (100, 100) if shape is None else shape[:2]
    x, y, x2, y2 = _box(coord)
    return [int(x * width), int(y * height), int(x2 * width), int(y2 * height)]


def obj_box_coord_centroid_to_upleft_butright(coord: Box, to_int: bool = False) -> list[Any]:
    """[centre x, centre y, w, h] to [x1, y1, x2, y2].

    Args:
        coord: the box.
        to_int: cut the results to integers.

    Returns:
        Upper left and lower right corner.

    Raises:
        ValueError, AssertionError: not four numbers.

    >>> obj_box_coord_centroid_to_upleft_butright([30, 40, 20, 20])
    [20.0, 30.0, 40.0, 50.0]
    """
    x, y, w, h = obj_box_coord_centroid_to_upleft(coord)
    corners = [x, y, x + w, y + h]
    return [int(c) for c in corners] if to_int else corners


def obj_box_coord_upleft_butright_to_centroid(coord: Box) -> list[Any]:
    """[x1, y1, x2, y2] to [centre x, centre y, w, h].

    Args:
        coord: upper left and lower right corner.

    Returns:
        The box.

    Raises:
        ValueError, AssertionError: not four numbers.

    >>> obj_box_coord_upleft_butright_to_centroid([20, 30, 40, 50])
    [30.0, 40.0, 20, 20]
    """
    x1, y1, x2, y2 = _box(coord)
    return obj_box_coord_upleft_to_centroid([x1, y1, x2 - x1, y2 - y1])


def obj_box_coord_centroid_to_upleft(coord: Box) -> list[Any]:
    """[centre x, centre y, w, h] to [x, y, w, h] with the upper left corner.

    Args:
        coord: the box.

    Returns:
        The box.

    Raises:
        ValueError, AssertionError: not four numbers.

    >>> obj_box_coord_centroid_to_upleft([30, 40, 20, 20])
    [20.0, 30.0, 20, 20]
    """
    x, y, w, h = _box(coord)
    return [x - w / 2.0, y - h / 2.0, w, h]


def obj_box_coord_upleft_to_centroid(coord: Box) -> list[Any]:
    """[x, y, w, h] with the upper left corner to [centre x, centre y, w, h].

    Args:
        coord: the box.

    Returns:
        The box.

    Raises:
        ValueError, AssertionError: not four numbers.

    >>> obj_box_coord_upleft_to_centroid([20, 30, 20, 20])
    [30.0, 40.0, 20, 20]
    """
    x, y, w, h = _box(coord)
    return [x + w / 2.0, y + h / 2.0, w, h]


def parse_darknet_ann_str_to_list(annotations: str) -> list[list[Any]]:
    r"""Read a darknet annotation file: one "class x y w h" per line; lines of another length are skipped.

    Args:
        annotations: the text.

    Returns:
        [[class, x, y, w, h], ...] with an integer class and float numbers.

    >>> parse_darknet_ann_str_to_list("1 0.5 0.5 0.2 0.2\n\n")
    [[1, 0.5, 0.5, 0.2, 0.2]]
    """
    rows = [line.split() for line in annotations.split("\n")]
    return [[int(row[0]), *map(float, row[1:])] for row in rows if len(row) == 5]


def parse_darknet_ann_list_to_cls_box(annotations: Sequence[Sequence[Any]]) -> tuple[list[Any], list[Any]]:
    """Separate classes and boxes.

    Args:
        annotations: [[class, x, y, w, h], ...].

    Returns:
        [class, ...] and [[x, y, w, h], ...].

    >>> parse_darknet_ann_list_to_cls_box([[1, 0.5, 0.5, 0.2, 0.2]])
    ([1], [[0.5, 0.5, 0.2, 0.2]])
    """
    return [a[0] for a in annotations], [a[1:] for a in annotations]


# --- image and boxes together -----------------------------------------------------------------------------------------


def obj_box_horizontal_flip(
    im: np.ndarray,
    coords: Sequence[Box] | None = None,
    is_rescale: bool = False,
    is_center: bool = False,
    is_random: bool = False,
    *,
    rng: Rng = None,
) -> tuple[np.ndarray, Any]:
    """Mirror an image and its boxes left and right.

    Args:
        im: [row, col, ...].
        coords: boxes.
        is_rescale: the boxes are fractions of the image.
        is_center: their x and y are centres.
        is_random: only with probability 1/2.
        rng: source of randomness; numpy's global state without one.

    Returns:
        Image and boxes.

    Raises:
        ValueError, AssertionError: a box has no four numbers.

    >>> obj_box_horizontal_flip(np.zeros([80, 100]), [[20, 40, 30, 30]])[1]
    [[50, 40, 30, 30]]
    """
    if is_random and random_source(rng).uniform(-1, 1) <= 0:
        return im, [] if coords is None else coords
    width = 1.0 if is_rescale else im.shape[1]
    boxes = [[width - x - (0 if is_center else w), y, w, h] for x, y, w, h in _boxes(coords)]
    return flip_axis(im, axis=1), boxes


obj_box_left_right_flip = obj_box_horizontal_flip  # its name before 1.10


def obj_box_imresize(
    im: np.ndarray,
    coords: Sequence[Box] | None = None,
    size: Sequence[int] | None = None,
    interp: str = "bicubic",
    mode: str | None = None,
    is_rescale: bool = False,
) -> tuple[np.ndarray, Any]:
    """Resize an image and its boxes.

    Args:
        im: [row, col, channel].
        coords: boxes.
        size: (height, width); [100, 100] without.
        interp, mode: see :func:`core.tl.prepro.imresize`.
        is_rescale: the boxes are fractions of the image, so they stay.

    Returns:
        Image, and boxes in whole pixels, rounded down.

    Raises:
        ValueError, AssertionError: a box has no four numbers.

    >>> obj_box_imresize(np.zeros([80, 100, 3]), [[20, 40, 30, 30]], size=[40, 100])[1]
    [[20, 20, 30, 15]]
    """
    rows, cols = (100, 100) if size is None else size
    resized = imresize(im, size=[rows, cols], interp=interp, mode=mode)
    if is_rescale:
        return resized, [] if coords is None else coords
    fy, fx = rows / im.shape[0], cols / im.shape[1]
    return resized, [[int(x * fx), int(y * fy), int(w * fx), int(h * fy)] for x, y, w, h in _boxes(coords)]


def obj_box_crop(
    im: np.ndarray,
    classes: Sequence[Any] | None = None,
    coords: Sequence[Box] | None = None,
    wrg: int = 100,
    hrg: int = 100,
    is_rescale: bool = False,
    is_center: bool = False,
    is_random: bool = False,
    thresh_wh: float = 0.02,
    thresh_wh2: float = 12.0,
    *,
    rng: Rng = None,
) -> tuple[np.ndarray, list[Any], list[Any]]:
    """Cut out a window, move the boxes with it and remove those that leave it.

    Without ``rng`` a random window starts where every TensorLayer puts it here, int(U(0, room) - 1); with ``rng`` every
    place is equally likely.

    Args:
        im: [row, col, ...].
        classes: class of each box.
        coords: boxes.
        wrg, hrg: width and height of the window, smaller than the image.
        is_rescale: the boxes are fractions of the image (and, returned, of the window).
        is_center: their x and y are centres.
        is_random: draw the place, the row first; else the middle.
        thresh_wh: a box narrower or lower than this fraction of the window is removed.
        thresh_wh2: a box with a ratio of its sides above this is removed.
        rng: source of randomness; numpy's global state without one.

    Returns:
        Window, classes and boxes that remain.

    Raises:
        ValueError, AssertionError: the window is not smaller than the image, or a box has no four numbers.

    >>> obj_box_crop(np.zeros([80, 100]), [7], [[20, 20, 30, 30]], wrg=60, hrg=40)[1:]
    ([7], [[0, 0, 30, 30]])
    """
    height, width = im.shape[:2]
    fits = hrg < height and wrg < width
    require(fits, f"a window of {wrg} x {hrg} must be smaller than the image, {width} x {height}")
    if not is_random:
        top, left = (height - hrg) // 2, (width - wrg) // 2
    elif rng is None:
        top = int(np.random.uniform(0, height - hrg) - 1)
        left = int(np.random.uniform(0, width - wrg) - 1)
    else:
        top, left = int(rng.integers(0, height - hrg + 1)), int(rng.integers(0, width - wrg + 1))
    window = im[top : top + hrg, left : left + wrg]

    def move(x: float, y: float, w: float, h: float) -> list[Any]:
        return [x - left, y - top, w, h]

    kept = _moved_boxes(im, window, classes, coords, move, is_rescale, is_center, thresh_wh, thresh_wh2)
    return window, *kept


def obj_box_shift(
    im: np.ndarray,
    classes: Sequence[Any] | None = None,
    coords: Sequence[Box] | None = None,
    wrg: float = 0.1,
    hrg: float = 0.1,
    row_index: int = 0,
    col_index: int = 1,
    channel_index: int = 2,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    order: int = 1,
    is_rescale: bool = False,
    is_center: bool = False,
    is_random: bool = False,
    thresh_wh: float = 0.02,
    thresh_wh2: float = 12.0,
    *,
    rng: Rng = None,
) -> tuple[np.ndarray, list[Any], list[Any]]:
    """:func:`core.tl.prepro.shift` of an image and its boxes; boxes that leave the image are removed.

    Args:
        im: [row, col, channel].
        classes, coords, is_rescale, is_center, thresh_wh, thresh_wh2: see :func:`obj_box_crop`.
        wrg, hrg, row_index, col_index, channel_index, fill_mode, cval, order, is_random, rng: see
            :func:`core.tl.prepro.shift`.

    Returns:
        Image, classes and boxes that remain.

    Raises:
        ValueError, AssertionError: a box has no four numbers.

    >>> obj_box_shift(np.zeros([80, 100, 3]), [7], [[20, 40, 30, 30]])[1:]
    ([7], [[10.0, 32.0, 30, 30]])
    """
    matrix = shift_matrix(im.shape[row_index], im.shape[col_index], wrg, hrg, is_random, rng)
    down, across = float(matrix[0, 2]), float(matrix[1, 2])
    shifted = affine_transform(im, matrix, channel_index, fill_mode, cval, order)

    def move(x: float, y: float, w: float, h: float) -> list[Any]:
        return [x - across, y - down, w, h]

    kept = _moved_boxes(im, shifted, classes, coords, move, is_rescale, is_center, thresh_wh, thresh_wh2)
    return shifted, *kept


def obj_box_zoom(
    im: np.ndarray,
    classes: Sequence[Any] | None = None,
    coords: Sequence[Box] | None = None,
    zoom_range: Sequence[float] = (0.9, 1.1),
    row_index: int = 0,
    col_index: int = 1,
    channel_index: int = 2,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    order: int = 1,
    is_rescale: bool = False,
    is_center: bool = False,
    is_random: bool = False,
    thresh_wh: float = 0.02,
    thresh_wh2: float = 12.0,
    *,
    rng: Rng = None,
) -> tuple[np.ndarray, list[Any], list[Any]]:
    """Zoom of an image and its boxes; boxes that leave the image are removed. Factors below 1 enlarge.

    The image is zoomed about its middle as in 1.11 (2.2.5 exchanges width and height there).

    Args:
        im: [row, col, channel].
        classes, coords, is_rescale, is_center, thresh_wh, thresh_wh2: see :func:`obj_box_crop`.
        zoom_range: (factor of the rows, factor of the columns); with ``is_random`` both are drawn from this range.
        row_index, col_index, channel_index, fill_mode, cval, order: see :func:`core.tl.prepro.rotation`.
        is_random: draw the factors.
        rng: source of randomness; numpy's global state without one.

    Returns:
        Image, classes and boxes that remain.

    Raises:
        ValueError, AssertionError: zoom_range is not a pair, or a box has no four numbers.

    >>> obj_box_zoom(np.zeros([80, 80, 3]), [7], [[30, 30, 20, 20]], zoom_range=(0.5, 0.5))[1:]
    ([7], [[20.0, 20.0, 40.0, 40.0]])
    """
    zx, zy = pair_of_factors(zoom_range, is_random, rng)
    matrix = middle_matrix(np.diag([zx, zy, 1.0]), im, row_index, col_index)
    zoomed = affine_transform(im, matrix, channel_index, fill_mode, cval, order)
    mid_y, mid_x = im.shape[0] / 2, im.shape[1] / 2

    def move(x: float, y: float, w: float, h: float) -> list[Any]:
        return [(x - mid_x) / zy + mid_x, (y - mid_y) / zx + mid_y, w / zy, h / zx]

    kept = _moved_boxes(im, zoomed, classes, coords, move, is_rescale, is_center, thresh_wh, thresh_wh2)
    return zoomed, *kept


# --- shared -----------------------------------------------------------------------------------------------------------


def _box(coord: Box) -> Box:
    require(len(coord) == 4, f"a box must be four numbers, not {len(coord)}: {list(coord)}")
    return coord


def _boxes(coords: Sequence[Box] | None) -> list[Box]:
    return [] if coords is None else [_box(coord) for coord in coords]


def _moved_boxes(
    before: np.ndarray,
    after: np.ndarray,
    classes: Sequence[Any] | None,
    coords: Sequence[Box] | None,
    move: Callable[..., list[Any]],
    is_rescale: bool,
    is_center: bool,
    thresh_wh: float,
    thresh_wh2: float,
) -> tuple[list[Any], list[Any]]:
    """Classes and boxes that remain when ``move`` turns upper-left boxes in pixels of one image into the other's."""
    classes, boxes = [] if classes is None else classes, _boxes(coords)
    require(len(classes) == len(boxes), f"{len(classes)} classes but {len(boxes)} boxes: give one for each")
    kept_classes, kept_boxes = [], []
    for label, box in zip(classes, boxes, strict=True):
        if is_rescale:
            box = obj_box_coord_scale_to_pixelunit(box, before.shape)
        if is_center:
            box = obj_box_coord_centroid_to_upleft(box)
        inside = _visible_part(move(*box), after.shape[0], after.shape[1], thresh_wh, thresh_wh2)
        if inside is None:
            continue
        if is_center:
            inside = obj_box_coord_upleft_to_centroid(inside)
        kept_boxes.append(obj_box_coord_rescale(inside, after.shape) if is_rescale else inside)
        kept_classes.append(label)
    return kept_classes, kept_boxes


def _visible_part(box: Box, height: int, width: int, thresh_wh: float, thresh_wh2: float) -> list[Any] | None:
    """What of a box lies in the image, or None if that is nothing, too small or too narrow."""
    x, y, w, h = box
    if (x < 0 and x + w <= 0) or x > width or (y < 0 and y + h <= 0) or y > height:
        return None
    if x < 0:
        x, w = 0, w + x
    if y < 0:
        y, h = 0, h + y
    w, h = (width - x if x + w > width else w), (height - y if y + h > height else h)
    too_narrow = w / (h + 1.0) > thresh_wh2 or h / (w + 1.0) > thresh_wh2
    too_small = w / width < thresh_wh or h / height < thresh_wh
    return None if too_narrow or too_small else [x, y, w, h]
