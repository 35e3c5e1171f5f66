"""Probes: what a support vector machine over pixels reads in pictures, and tables of what was read for what."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["Probe", "confusion", "draw_confusion"]

C = 10.0
AT_ONCE = 1000


class Probe:
    """A support vector machine with a Gaussian kernel over the pixels of pictures [N, H, W, C] uint8 and their labels [N].

    It knows nothing of the model whose pictures it reads, and reads the same in every process. Pictures of more than `side`
    pixels are made smaller first, by means over blocks. Beside each picture it learns from `varied` others: the same, a little
    turned, slanted, stretched and shifted, so that it reads shapes and not places. `protocol` says what it is.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, *, side: int = 32, varied: int = 0):
        from sklearn.svm import SVC

        self._side, rng = side, np.random.default_rng(0)
        rows = [_pixels(x, side) for x in (images, *(_vary(images, rng) for _ in range(varied)))]
        self._machine = SVC(C=C, gamma="scale").fit(np.concatenate(rows), np.tile(labels, varied + 1))
        beside = f" and {varied} variations of each" if varied else ""
        self.protocol = (
            f"support vector machine (Gaussian kernel, C {C:g}) over the pixels of {len(images):,} pictures{beside}"
        )

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the label [N] that it reads in each picture."""
        parts = (images[i : i + AT_ONCE] for i in range(0, len(images), AT_ONCE))
        return np.concatenate([self._machine.predict(_pixels(part, self._side)) for part in parts])


def _pixels(images: np.ndarray, side: int) -> np.ndarray:
    """Return pictures as rows of numbers in [0, 1], means of blocks of pixels where they are large."""
    block = -(-max(images.shape[1:3]) // side)
    if block > 1:
        height, width = (n // block * block for n in images.shape[1:3])
        cut = images[:, :height, :width].reshape(len(images), height // block, block, width // block, block, -1)
        images = cut.mean(axis=(2, 4))
    return images.reshape(len(images), -1).astype(np.float64) / 255


def _vary(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return pictures [N, H, W, C], each turned by up to 12 degrees, slanted and stretched by a quarter, shifted by 5 %."""
    from scipy.ndimage import affine_transform

    middle, varied = (np.array(images.shape[1:3]) - 1) / 2, np.empty_like(images)
    for i, image in enumerate(images):
        angle, slant = rng.uniform(-0.2, 0.2), rng.uniform(-0.25, 0.25)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = turn @ np.array([[rng.uniform(0.8, 1.25), 0], [slant, rng.uniform(0.8, 1.25)]])
        offset = middle - matrix @ middle + 0.05 * rng.uniform(-1, 1, 2) * images.shape[1:3]
        for c in range(image.shape[2]):
            varied[i, ..., c] = affine_transform(image[..., c], matrix, offset, order=1)
    return varied


def confusion(labels: np.ndarray, read: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return how often which class was read for which, [K, K] int: row i has the pictures of classes[i].

    >>> confusion(np.array([3, 3, 5]), np.array([3, 5, 5]), np.array([3, 5]))
    array([[1, 1],
           [0, 1]])
    """
    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (np.searchsorted(classes, labels), np.searchsorted(classes, read)), 1)
    return counts


def draw_confusion(tables: Sequence[tuple[str, np.ndarray]], classes: np.ndarray) -> np.ndarray:
    """Return a picture [H, W, 3] uint8 of titled tables [K, K] side by side, each row in shares of its sum."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4 * len(tables), 4.6), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for axis, (title, counts) in zip(np.ravel(figure.subplots(1, len(tables))), tables, strict=True):
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (i, j), share in np.ndenumerate(shares):
            if share >= 0.005:
                colour = "white" if share > 0.5 else "black"
                axis.text(j, i, f"{100 * share:.0f}", ha="center", va="center", fontsize=8, color=colour)
        axis.set(title=title, xlabel="read as", ylabel="is")
        axis.set(xticks=range(len(classes)), yticks=range(len(classes)), xticklabels=classes, yticklabels=classes)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
