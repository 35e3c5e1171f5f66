"""Data sources of somebody else's: pictures, points, captions, a place of the user's, and what goes wrong."""

import sys

from generative.data.registry import Images, Opening, source
from generative.data.settings import CaptionConfig, DataConfig


@source("stripes", kind="pictures", summary="Stripes of two directions")
def stripes(config: DataConfig, opening: Opening) -> Images:
    import numpy as np

    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=40)
    lines = np.where(rng.random((40, 16, 1)) < 0.5, 0, 255) * np.ones((1, 1, 16))
    lines[labels == 1] = lines[labels == 1].swapaxes(1, 2)
    opening.say("drawing 40 stripes")
    return Images(lines[..., None].astype(np.uint8), labels, "stripes across and along")


@source("bars:PATH", kind="pictures", summary="Rows of a text file, one bar a character")
def bars(config: DataConfig, opening: Opening) -> Images:
    import numpy as np

    text = opening.path.read_text().split()
    rows = np.array([[255 * (c == "#") for c in line] for line in text], np.uint8)
    return Images(np.broadcast_to(rows[:, None, :, None], (len(rows), 16, 16, 1)))


@source("two-points", kind="points", summary="Two Gaussians")
def two_points(config: DataConfig, opening: Opening):
    import numpy as np

    from generative.data.sources import Mixture

    return Mixture("two-points", np.array([[-1.0, 0.0], [1.0, 0.0]]), sigma=0.1)


@source("grey-scenes", kind="captions", summary="Grey pictures and the word for their grey", mirrors=False)
def grey_scenes(config: CaptionConfig, opening: Opening):
    import numpy as np

    from generative.data.captions import Captioned, Splits

    words = ["black", "dark", "bright", "white"]
    images = np.repeat(np.array([0, 80, 160, 240], np.uint8), 64 * 64 * 3).reshape(4, 64, 64, 3)

    def captioned(name, rows):
        captions = [[f"a {word} picture"] for word in words]
        return Captioned(name, name, images, captions, lambda i, j, k: i == j, np.array(rows))

    return Splits(captioned("greys", [0, 1, 2, 3]), captioned("greys again", [0, 3]), sentences=("a dark picture",))


@source("misread:HOW", kind="pictures", summary="Fails as told", example="raise")
def misread(config: DataConfig, opening: Opening):
    import numpy as np

    if opening.argument == "raise":
        raise ConnectionError("\n   nobody answers\n")
    if opening.argument == "exit":
        sys.exit(3)
    if opening.argument == "floats":
        return Images(np.zeros((4, 16, 16, 1)))
    if opening.argument == "labels":
        return Images(np.zeros((4, 16, 16, 1), np.uint8), np.zeros(3, int))
    if opening.argument == "points":
        return two_points(config, opening)
    return None
