"""The latent space as a picture."""

from __future__ import annotations

import numpy as np

__all__ = ["scatter"]


def scatter(mean: np.ndarray, first: int, second: int, labels: np.ndarray | None) -> np.ndarray:
    """Return a picture [H, W, 3] uint8 of two latents of points [N, L], in the colours of their labels [N]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4, 4), dpi=100, layout="tight")
    canvas, axis = FigureCanvasAgg(figure), figure.add_subplot()
    cmap = None if labels is None else "tab10"
    points = axis.scatter(mean[:, first], mean[:, second], s=5, c=labels, cmap=cmap)
    if labels is not None:
        figure.colorbar(points)
    axis.set(xlabel=f"latent {first}", ylabel=f"latent {second}")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
