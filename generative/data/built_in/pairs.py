"""Pairs of pictures, and two sources that have nothing to do with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from generative.data.registry import Opening, source
from generative.data.settings import PairConfig, TwoConfig

if TYPE_CHECKING:
    import numpy as np

    from generative.data.pairs import PairSplit
    from generative.data.two import Two

__all__ = ["edges", "grey", "pairs", "pencil", "two"]


@source("edges", kind="pairs", summary="squares of photographs after their edges by Canny (scikit-image, scikit-learn)")
def edges(config: PairConfig, opening: Opening) -> PairSplit:
    import numpy as np
    from skimage.color import rgb2gray
    from skimage.feature import canny

    from generative.data.pairs import made_pairs

    def drawn(photo: np.ndarray) -> np.ndarray:
        return np.where(canny(rgb2gray(photo), sigma=1.0), 0, 255).astype(np.uint8)[..., None]

    return made_pairs(config, ("edges", "photographs"), "edges (Canny, sigma 1) and photographs", drawn)


@source("pencil", kind="pairs", summary="squares of photographs after drawings of them (scikit-image, scikit-learn)")
def pencil(config: PairConfig, opening: Opening) -> PairSplit:
    import numpy as np
    from PIL import Image
    from scipy.ndimage import gaussian_filter

    from generative.data.pairs import made_pairs

    def drawn(photo: np.ndarray) -> np.ndarray:
        """Black where a pixel is a third darker than what is around it, white where it is not darker at all."""
        grey = np.asarray(Image.fromarray(photo).convert("L")).astype(np.float64) + 5
        darker = np.clip(1 - grey / gaussian_filter(grey, 3.0), 0, 1 / 3)
        return np.round(255 * (1 - 3 * darker)).astype(np.uint8)[..., None]

    return made_pairs(
        config, ("drawings", "photographs"), "drawings (darker than around, sigma 3) and photographs", drawn
    )


@source("grey", kind="pairs", summary="squares of photographs after the same in grey (scikit-image, scikit-learn)")
def grey(config: PairConfig, opening: Opening) -> PairSplit:
    import numpy as np
    from PIL import Image

    from generative.data.pairs import made_pairs

    def greyed(photo: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(photo).convert("L"))[..., None]

    return made_pairs(config, ("grey", "colour"), "grey pictures and photographs", greyed)


@source(
    "pairs:PATH",
    kind="pairs",
    summary="a/NAME.png with b/NAME.png below a folder of yours, or pictures of both halves",
)
def pairs(config: PairConfig, opening: Opening) -> PairSplit:
    from generative.data.pairs import own_pairs

    return own_pairs(config, opening)


@source("two:A,B", kind="two", summary="two sources of pictures, or folders of yours", example="mnist5k,digits")
def two(config: TwoConfig, opening: Opening) -> Two:
    from generative.data.two import two_sources

    return two_sources(config, opening)
