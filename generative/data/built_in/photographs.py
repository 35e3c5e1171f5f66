"""Pictures that scikit-image and scikit-learn bring along."""

from __future__ import annotations

from core.errors import UsageError
from generative.data.registry import Images, Opening, source
from generative.data.settings import DataConfig

__all__ = ["lfw_faces", "photos"]


@source("lfw-faces", kind="pictures", summary="100 grey faces, 25x25 (scikit-image)")
def lfw_faces(config: DataConfig, opening: Opening) -> Images:
    import numpy as np
    from skimage.data import lfw_subset

    faces = lfw_subset()[:100]  # the other hundred show no faces
    return Images(np.round(faces[..., None] * 255).astype(np.uint8), what="faces, scikit-image's selection of LFW")


@source(
    "photos", kind="pictures", summary="tiles of six photographs, which do not overlap (scikit-image, scikit-learn)"
)
def photos(config: DataConfig, opening: Opening) -> Images:
    import numpy as np
    from PIL import Image
    from skimage import data
    from sklearn.datasets import load_sample_images

    from generative.data.pictures import OWN_SIZE, prepare, sides

    whole = [getattr(data, name)() for name in ("astronaut", "chelsea", "coffee", "rocket")]
    whole += list(load_sample_images().images)
    height, width = sides(config.sides or OWN_SIZE)
    tiles = []
    for photo in whole:
        for top in range(0, photo.shape[0] - height + 1, height):
            for left in range(0, photo.shape[1] - width + 1, width):
                tile = Image.fromarray(photo[top : top + height, left : left + width])
                tiles.append(prepare(tile, (height, width), 3, True))
    if not tiles:
        raise UsageError(
            f"data.size asks for {height}x{width}; the photos are at most 512 pixels high and 640 wide, choose 256 or less"
        )
    return Images(np.stack(tiles), what=f"tiles of {len(whole)} photographs from scikit-image and scikit-learn")
