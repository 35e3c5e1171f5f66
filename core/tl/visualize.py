"""Reading, saving and drawing images. Pillow reads and writes, matplotlib draws; it is imported when it is needed.

The drawing functions save a PDF without touching matplotlib's global state (``saveable=True``), or show a window.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from core.tl import prepro
from core.tl.errors import require
from core.tl.prepro.pixels import stretch_to_uint8
from core.tl.prepro.threads import in_threads

__all__ = [
    "CNN2d",
    "W",
    "draw_boxes_and_labels_to_image",
    "draw_weights",
    "frame",
    "images2d",
    "read_image",
    "read_images",
    "save_image",
    "save_images",
    "tsne_embedding",
]

logger = logging.getLogger(__name__)


# --- files ------------------------------------------------------------------------------------------------------------


def read_image(image: str, path: str = "") -> np.ndarray:
    """Read an image file.

    Args:
        image: the file.
        path: its folder.

    Returns:
        [row, col] or [row, col, channel], usually uint8; an image with a palette comes in its colours.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_image(np.full([2, 3, 3], 7, np.uint8), os.path.join(folder, "a.png"))
    ...     read_image("a.png", folder).shape
    (2, 3, 3)
    """
    with Image.open(os.path.join(path, image)) as picture:
        if picture.mode == "P":
            return np.array(picture.convert("RGBA" if "transparency" in picture.info else "RGB"))
        return np.array(picture.convert("L") if picture.mode == "1" else picture)


def read_images(
    img_list: Sequence[str], path: str = "", n_threads: int = 10, printable: bool = True
) -> list[np.ndarray]:
    """Read several image files with several threads.

    Args:
        img_list: the files.
        path: their folder.
        n_threads: threads to use.
        printable: log how many were read.

    Returns:
        List of images, in the order of the files.

    >>> read_images([])
    []
    """
    images = in_threads(lambda name: read_image(name, path), img_list, n_threads)
    if printable:
        logger.info("%d images read from %s", len(images), path)
    return images


def save_image(image: np.ndarray, image_path: str = "_temp.png") -> None:
    """Write an image file.

    Args:
        image: [row, col] or [row, col, 1, 3 or 4]. uint8 is written as it is, floats in [0, 1] are multiplied by 255
            (2.x), anything else is stretched from its minimum and maximum to 0 and 255.
        image_path: the file; its ending says the format.

    Raises:
        ValueError: another shape.

    See :func:`read_image` for an example.
    """
    image = np.asarray(image)
    require(
        image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3, 4)),
        f"an image must be [row, col] or [row, col, 1, 3 or 4], not {image.shape}",
    )
    pixels = _to_uint8(image)
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels).save(image_path)


def save_images(images: np.ndarray, size: Sequence[int], image_path: str = "_temp.png") -> None:
    """Write several images as one grid, row by row; what they do not fill is black.

    Values are scaled as in 2.x: if all are in [-1, 1] and some negative, (x + 1) * 127.5; if all are in [0, 1], x * 255
    (uint8 masks of 0 and 1 too); other floats are stretched with the grid. 1.5.3 always stretched.

    Args:
        images: [n, row, col], or [n, row, col, 1 or 3].
        size: (rows, columns) of the grid, at least n places.
        image_path: the file; its ending says the format.

    Raises:
        ValueError, AssertionError: no images, another shape, or too small a grid.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_images(np.zeros([5, 4, 6, 3], np.uint8), [2, 3], os.path.join(folder, "a.png"))
    ...     read_image("a.png", folder).shape
    (8, 18, 3)
    """
    images = np.asarray(images)
    if images.ndim == 3:
        images = images[..., None]
    require(
        images.ndim == 4 and images.shape[3] in (1, 3),
        f"images must be [n, row, col] or [n, row, col, 1 or 3], not {images.shape}",
    )
    rows, columns = size
    n, h, w, _ = images.shape
    require(n >= 1, "save_images needs at least one image")
    require(n <= rows * columns, f"{n} images do not fit into a grid of {rows} x {columns}")
    low, high = images.min(), images.max()
    if high <= 1 and -1 <= low < 0:
        images = ((images + 1) * 127.5).astype(np.uint8)
    elif high <= 1 and low >= 0:
        images = (images * 255).astype(np.uint8)
    grid = np.zeros((rows, columns, h, w, 3), images.dtype)
    grid.reshape(-1, h, w, 3)[:n] = images
    save_image(grid.swapaxes(1, 2).reshape(rows * h, columns * w, 3), image_path)


def _to_uint8(image: np.ndarray) -> np.ndarray:
    if image.dtype.kind == "f" and image.size and image.min() >= 0 and image.max() <= 1:
        return (image * 255.0 + 0.499999999).astype(np.uint8)  # the rounding of imageio, which TensorLayer used
    return stretch_to_uint8(image)


# --- annotations ------------------------------------------------------------------------------------------------------


def draw_boxes_and_labels_to_image(
    image: np.ndarray,
    classes: Sequence[int],
    coords: Sequence[Sequence[float]],
    scores: Sequence[float],
    classes_list: Sequence[str],
    is_center: bool = True,
    is_rescale: bool = True,
    save_name: str | None = None,
) -> np.ndarray:
    """Draw boxes and the names of their classes (with Pillow; OpenCV's lettering looks different).

    Args:
        image: uint8 [row, col, 3].
        classes: class of each box.
        coords: boxes: [centre x, centre y, w, h] with ``is_center``, else [x1, y1, x2, y2].
        scores: score of each box, or [].
        classes_list: name of each class.
        is_center: see ``coords``.
        is_rescale: the boxes are fractions of the image, else pixels.
        save_name: file to write, too.

    Returns:
        A drawn copy.

    Raises:
        ValueError, AssertionError: the lengths differ.

    >>> drawn = draw_boxes_and_labels_to_image(
    ...     np.zeros([40, 40, 3], np.uint8), [0], [[10, 10, 30, 30]], [], ["cat"], is_center=False, is_rescale=False
    ... )
    >>> drawn[30, 10].tolist()
    [0, 255, 0]
    """
    require(len(coords) == len(classes), f"{len(coords)} boxes but {len(classes)} classes: give one for each")
    require(len(scores) in (0, len(classes)), f"{len(scores)} scores but {len(classes)} classes: one each, or []")
    height, width = image.shape[:2]
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=max(8, round(0.03 * height)))
    for i, box in enumerate(coords):
        corners = list(prepro.obj_box_coord_centroid_to_upleft_butright(box) if is_center else box)
        if is_rescale:
            corners = prepro.obj_box_coord_scale_to_pixelunit(corners, (height, width))
        x, y, x2, y2 = map(int, corners)
        draw.rectangle((x, y, x2, y2), outline=(0, 255, 0), width=max(1, (height + width) // 430))
        label = classes_list[classes[i]] + (f" {scores[i]:.2f}" if len(scores) else "")
        draw.text((x, y), label, fill=(0, 0, 255), font=font, anchor="ls")
    drawn = np.array(picture)
    if save_name is not None:
        save_image(drawn, save_name)
    return drawn


# --- figures ----------------------------------------------------------------------------------------------------------


def frame(
    I: np.ndarray,  # noqa: E741 - the original's name
    second: float = 5,
    saveable: bool = True,
    name: str = "frame",
    cmap: str | None = None,
    fig_idx: int = 12836,
) -> None:
    """Draw one image, e.g. a frame of a game.

    Args:
        I: [row, col], or [row, col, 1 or 3].
        second: how long to show the window.
        saveable: save ``name``.pdf instead of showing it.
        name: title and file.
        cmap: "gray" or another colour map.
        fig_idx: number of the window.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     frame(np.zeros([4, 4, 1]), name=os.path.join(folder, "a"))
    ...     os.listdir(folder)
    ['a.pdf']
    """
    figure = _figure(saveable, fig_idx)
    axes = figure.add_subplot()
    axes.imshow(I[:, :, 0] if I.ndim == 3 and I.shape[-1] == 1 else I, cmap)
    axes.set_title(name)
    _finish(figure, second, saveable, name)


def CNN2d(
    CNN: np.ndarray,
    second: float = 10,
    saveable: bool = True,
    name: str = "cnn",
    fig_idx: int = 3119362,
) -> None:
    """Draw the kernels of a convolution as images.

    Args:
        CNN: [row, col, 1 or 3, n].
        second, saveable, name, fig_idx: see :func:`frame`.

    Raises:
        ValueError: neither 1 nor 3 input channels.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     CNN2d(np.random.rand(3, 3, 1, 4), name=os.path.join(folder, "a"))
    ...     os.listdir(folder)
    ['a.pdf']
    """
    require(np.ndim(CNN) == 4, f"CNN must be [row, col, 1 or 3, n], not {np.shape(CNN)}")
    _draw_grid(np.moveaxis(CNN, 3, 0), second, saveable, name, fig_idx)


def images2d(
    images: np.ndarray,
    second: float = 10,
    saveable: bool = True,
    name: str = "images",
    dtype: Any = None,
    fig_idx: int = 3119362,
) -> None:
    """Draw a group of images.

    Args:
        images: [n, row, col, 1 or 3].
        dtype: convert to this type first.
        second, saveable, name, fig_idx: see :func:`frame`.

    Raises:
        ValueError: neither 1 nor 3 channels.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     images2d(np.zeros([4, 3, 3, 3]), name=os.path.join(folder, "a"))
    ...     os.listdir(folder)
    ['a.pdf']
    """
    _draw_grid(np.asarray(images, dtype=dtype), second, saveable, name, fig_idx)


def draw_weights(
    W: np.ndarray,
    second: float = 10,
    saveable: bool = True,
    shape: Sequence[int] | None = None,
    name: str = "mnist",
    fig_idx: int = 2396512,
) -> None:
    """Draw each column of a weight matrix, divided by its norm, as a grey image.

    Args:
        W: [row * col, n].
        shape: (row, col); [28, 28] without.
        second, saveable, name, fig_idx: see :func:`frame`.

    Raises:
        ValueError: the columns do not have that many elements.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw_weights(np.ones([6, 4]), shape=[2, 3], name=os.path.join(folder, "a"))
    ...     os.listdir(folder)
    ['a.pdf']
    """
    rows, cols = (28, 28) if shape is None else shape
    require(W.ndim == 2 and W.shape[0] == rows * cols, f"W must be [{rows} * {cols}, n], not {W.shape}")
    normalised = W / np.sqrt((W**2).sum(axis=0))
    _draw_grid(normalised.T.reshape(-1, rows, cols, 1), second, saveable, name, fig_idx, wide=True)


W = draw_weights  # its name in 1.5.3


def tsne_embedding(
    embeddings: np.ndarray,
    reverse_dictionary: Mapping[int, str] | Sequence[str],
    plot_only: int = 500,
    second: float = 5,
    saveable: bool = False,
    name: str = "tsne",
    fig_idx: int = 9862,
) -> None:
    """Draw word vectors as points of a plane (scikit-learn's t-SNE, started from PCA).

    Args:
        embeddings: [V, D].
        reverse_dictionary: id -> word.
        plot_only: words to draw, the first ones; at most V are drawn.
        second, saveable, name, fig_idx: see :func:`frame`.

    Raises:
        ValueError: fewer than two words.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     words = {i: str(i) for i in range(8)}
    ...     tsne_embedding(np.random.rand(8, 4), words, saveable=True, name=os.path.join(folder, "a"))
    ...     os.listdir(folder)
    ['a.pdf']
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    vectors = np.asarray(embeddings)[:plot_only]
    require(vectors.ndim == 2 and len(vectors) >= 2, f"embeddings must be [2 or more, D], not {np.shape(embeddings)}")
    tsne = TSNE(perplexity=min(30, (len(vectors) - 1) / 2), n_components=2, init="pca", max_iter=5000)
    with threadpool_limits(1, user_api="openmp"):  # its thousands of tiny steps: on busy cores 10 times as fast as more
        points = tsne.fit_transform(vectors)
    figure = _figure(saveable, fig_idx, figsize=(18, 18))
    axes = figure.add_subplot()
    axes.scatter(points[:, 0], points[:, 1])
    for i, point in enumerate(points):
        axes.annotate(
            reverse_dictionary[i], xy=point, xytext=(5, 2), textcoords="offset points", ha="right", va="bottom"
        )
    _finish(figure, second, saveable, name)


def _draw_grid(images: np.ndarray, second: float, saveable: bool, name: str, fig_idx: int, wide: bool = False) -> None:
    """Images [n, row, col, 1 or 3] in a grid that is nearly square, higher than wide unless ``wide``."""
    require(images.ndim == 4 and images.shape[3] in (1, 3), f"images must be [n, row, col, 1 or 3], not {images.shape}")
    require(len(images) >= 1, "there is no image to draw")
    short = int(np.sqrt(len(images)))
    long = int(np.ceil(len(images) / short))
    figure = _figure(saveable, fig_idx)
    for i, image in enumerate(images, start=1):
        axes = figure.add_subplot(*((short, long) if wide else (long, short)), i)
        axes.imshow(image[:, :, 0] if image.shape[2] == 1 else image, cmap="gray", interpolation="nearest")
        axes.set_axis_off()
    _finish(figure, second, saveable, name)


def _figure(saveable: bool, fig_idx: int, figsize: tuple[float, float] | None = None) -> Any:
    if saveable:
        from matplotlib.figure import Figure

        return Figure(figsize=figsize)
    import matplotlib.pyplot as plt

    plt.ion()
    return plt.figure(fig_idx, figsize=figsize)


def _finish(figure: Any, second: float, saveable: bool, name: str) -> None:
    if saveable:
        figure.savefig(f"{name}.pdf", format="pdf")
        return
    import matplotlib.pyplot as plt

    plt.draw()
    plt.pause(second)
