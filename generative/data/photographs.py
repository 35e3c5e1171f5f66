"""The photographs that scikit-image and scikit-learn bring along, by name: those to train on, and others to measure on."""

from __future__ import annotations

import numpy as np

__all__ = ["GREY", "HELD_OUT", "IN_COLOUR", "STUDIED", "photograph"]

HELD_OUT = ("coffee", "chelsea", "flower")
"""Photographs to measure on."""
IN_COLOUR = ("astronaut", "rocket", "china", "stereo_motorcycle")
"""Photographs of things to train on."""
STUDIED = ("immunohistochemistry", "retina")
"""Photographs of tissue, in colour."""
GREY = ("camera", "brick", "grass", "gravel", "coins")


def photograph(name: str) -> np.ndarray:
    """Return a photograph [H, W, 3] uint8; a grey one has three equal channels."""
    from skimage import data
    from sklearn.datasets import load_sample_image

    image = load_sample_image(f"{name}.jpg") if name in ("china", "flower") else getattr(data, name)()
    image = image[0] if isinstance(image, tuple) else image  # of a stereo pair the left one
    return np.ascontiguousarray(np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image)
