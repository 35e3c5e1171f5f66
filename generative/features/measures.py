"""What features are like: how many dimensions they fill, and their plane as a picture."""

from __future__ import annotations

import numpy as np

__all__ = ["dimensions", "plane", "scatter", "thumbnails"]

SIDE = 900  # pixels of a picture of the plane
BORDER = 0.04  # of it that stays free on either side


def dimensions(features: np.ndarray) -> float:
    """Return (sum l)^2 / sum l^2 over the eigenvalues l of the covariance of features [N, D]: D where all are equal, 1 on a line.

    0 where all features are one point.
    """
    x = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    covariance = x.T @ x  # times N; its trace is sum l, the sum of its squares sum l^2
    squares = np.square(covariance).sum()
    return float(np.trace(covariance) ** 2 / squares) if squares > 0 else 0.0


def plane(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (origin [D], axes [D, 2]) of the plane to look at: the features' own if D is 2, else that of most variance.

    An axis points where its largest entry is positive. Of one feature the second coordinate is 0.
    """
    D = features.shape[1]
    if D <= 2:
        return np.zeros(D), np.eye(D, 2)
    origin = features.mean(axis=0, dtype=np.float64)
    x = features - origin
    axes = np.linalg.eigh(x.T @ x)[1][:, :-3:-1]  # [D, 2]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0)
    return origin, np.where(largest < 0, -axes, axes)


def scatter(points: np.ndarray, labels: np.ndarray, held_out: int) -> np.ndarray:
    """Return a picture [H, W, 3] of points [N, 2] in the colours of their labels [N]; the first `held_out` have a black rim."""
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    classes, numbers = np.unique(labels, return_inverse=True)
    few = len(classes) <= 10
    colours = colormaps["tab10" if few else "turbo"](numbers if few else numbers / (len(classes) - 1))  # [N, 4]
    figure = Figure(figsize=(SIDE / 100, SIDE / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axis = figure.add_axes((0, 0, 1, 1))
    x, y = points.T
    axis.scatter(x[held_out:], y[held_out:], s=9, c=colours[held_out:], alpha=0.6, linewidths=0)
    axis.scatter(x[:held_out], y[:held_out], s=26, c=colours[:held_out], edgecolors="black", linewidths=0.6)
    for number, label in enumerate(classes[:100]):
        middle = np.median(points[numbers == number], axis=0)  # [2]
        box = {"boxstyle": "circle", "facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.15}
        axis.text(
            middle[0],
            middle[1],
            str(label),
            fontsize=17 if few else 9,
            weight="bold",
            ha="center",
            va="center",
            bbox=box,
        )
    axis.set(xticks=[], yticks=[])
    axis.margins(BORDER)
    for spine in axis.spines.values():
        spine.set_visible(False)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def thumbnails(points: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return a picture [H, W, C] of images [N, h, w, C] uint8, each at its point [N, 2]; a place that is taken stays as it is.

    Images are thinned out to at most a twentieth of the picture's side.
    """
    thin = max(1, -(-max(images.shape[1:3]) * 20 // SIDE))
    images = images[:, ::thin, ::thin]
    height, width, channels = images.shape[1:]
    low, high = points.min(axis=0), points.max(axis=0)
    places = (points - low) / np.where(high > low, high - low, 1.0)  # [N, 2] in [0, 1]
    free = SIDE * (1 - 2 * BORDER) - np.array([width, height])
    picture = np.full((SIDE, SIDE, channels), 255, np.uint8)
    taken = np.zeros((SIDE, SIDE), bool)
    for image, (x, y) in zip(images, places, strict=True):
        left, top = (SIDE * BORDER + free * (x, 1 - y)).astype(int)
        here = np.s_[top : top + height, left : left + width]
        if not taken[here].any():
            picture[here], taken[here] = image, True
    return picture
