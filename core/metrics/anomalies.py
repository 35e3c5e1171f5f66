"""What is made of anomaly scores and reconstructions: scores scaled to [0, 1], maps of where a picture is off, sheets of both."""

from __future__ import annotations

import numpy as np

__all__ = ["anomaly_maps", "anomaly_sheet", "scaled_scores"]


def scaled_scores(scores: np.ndarray) -> np.ndarray:
    """Return scores [N] as (s - min s) / (max s - min s) over the set (Akcay et al., 2018, eq. 7); 0 where all are equal."""
    scores = scores.astype(np.float64)
    least, most = scores.min(), scores.max()
    return (scores - least) / (most - least) if most > least else np.zeros_like(scores)


def anomaly_maps(images: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """Return |x - x'| of pictures [N, H, W, C] uint8, the mean over their channels, as [N, H, W, 3] uint8.

    Black is no difference, light yellow one of 255 (matplotlib's inferno): the scale is the same for every picture.
    """
    from matplotlib import colormaps

    if images.shape != reconstructions.shape:
        raise ValueError(f"pictures {list(images.shape)} have reconstructions {list(reconstructions.shape)}")
    difference = np.abs(images.astype(np.float32) - reconstructions.astype(np.float32)).mean(axis=-1)  # [N, H, W]
    colours = colormaps["inferno"](np.round(difference).astype(np.uint8))[..., :3]
    return np.round(colours * 255).astype(np.uint8)


def anomaly_sheet(images: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """Return each picture [N, H, W, C] uint8 above its reconstruction, above its map: [N, 3 H, W, 3] uint8."""
    colour = (np.repeat(x, 3, axis=-1) if x.shape[-1] == 1 else x for x in (images, reconstructions))
    return np.concatenate([*colour, anomaly_maps(images, reconstructions)], axis=1)
