"""TensorLayer's numpy-side helpers under their own names, on today's Python and numpy: ``from core import tl``.

The README tells which generation is followed where they differ, and why. Nothing here imports TensorFlow,
scikit-learn, scikit-image or matplotlib before a function that needs it is called.
"""

import sys

from core.tl import activation, cost, files, iterate, layers, nlp, prepro, rein, utils, visualize

__all__ = [
    "act",
    "activation",
    "cost",
    "files",
    "iterate",
    "layers",
    "nlp",
    "prepro",
    "rein",
    "utils",
    "vis",
    "visualize",
]

act = activation
vis = visualize
# So that `import core.tl.act` and `from core.tl.vis import save_images` work too.
sys.modules[f"{__name__}.act"] = activation
sys.modules[f"{__name__}.vis"] = visualize
