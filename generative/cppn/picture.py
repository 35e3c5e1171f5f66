"""The picture that is fitted: a photograph that comes along, or a file of the user's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from core.errors import UsageError, nearest
from generative.data.found import user_path
from generative.data.pictures import BROKEN, prepare, reason, upright
from generative.data.record import Record, checksum, place_of

__all__ = ["PHOTOGRAPHS", "Picture", "open_picture"]

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "china", "flower")
"""Those of scikit-image, and the last two of scikit-learn."""


class Picture:
    """A picture of which the run knows the shape, also when the file is gone or changed: then its pixels are an error."""

    def __init__(self, what: str, shape: tuple[int, int], pixels: np.ndarray | None, why: str = ""):
        self.what, self.shape = what, shape
        self._pixels, self._why = pixels, why

    @property
    def pixels(self) -> np.ndarray:
        """[H, W, 3] uint8."""
        if self._pixels is None:
            raise UsageError(self._why)
        return self._pixels


def open_picture(name: str, size: int, folder: Path | None) -> Picture:
    """Return the picture `name` with a longer side of `size` pixels, 0 for its own; its checksum is kept in `folder`.

    Raises UsageError for a name that is neither a photograph's nor a file's and for a file that is no picture, where nothing is
    known of it yet.
    """
    record, part = Record(folder), "picture"
    kept = record.part(part)
    try:
        pixels = _read(name, size, place_of(kept, name))
    except UsageError as error:
        if kept is None:
            raise
        return Picture(kept["what"], tuple(kept["shape"]), None, str(error))
    height, width = pixels.shape[:2]
    what, digest = f"{Path(name).name}, {height}x{width}", checksum(pixels)
    if kept is not None and kept["checksum"] != digest:
        why = (
            f"picture is {name!r}, not the one with which the run began ({kept['what']}): its checksum differs; bring that "
            "back, or start a new run"
        )
        return Picture(kept["what"], tuple(kept["shape"]), None, why)
    place = {"root": str(place_of(kept, name))}
    record.keep(part, place | {"source": name, "what": what, "checksum": digest, "shape": [height, width]})
    return Picture(what, (height, width), pixels)


def _read(name: str, size: int, path: Path) -> np.ndarray:
    if name in PHOTOGRAPHS:
        return _resized(_photograph(name), size)
    if not path.is_file():
        if path.is_dir():
            raise UsageError(f"picture is {name!r}, a folder; name one picture in it")
        if "/" in name or "." in name or name.startswith("~"):
            raise UsageError(
                f"picture is {name!r}, which is not there; it must be a file, or one of {', '.join(PHOTOGRAPHS)}"
            )
        raise UsageError(f"picture is {name!r}; {nearest(name, PHOTOGRAPHS)}, or name a file")
    try:
        with Image.open(path) as picture:
            return _resized(upright(picture), size)
    except BROKEN as error:
        raise UsageError(f"picture is {str(user_path(name))!r}, which cannot be read: {reason(error)}") from error


def _photograph(name: str) -> Image.Image:
    if name in ("china", "flower"):
        from sklearn.datasets import load_sample_image

        return Image.fromarray(load_sample_image(f"{name}.jpg"))
    from skimage import data

    return Image.fromarray(getattr(data, name)())


def _resized(picture: Image.Image, size: int) -> np.ndarray:
    scale = size / max(picture.size) if size else 1.0
    width, height = (max(1, round(scale * side)) for side in picture.size)
    return prepare(picture, (height, width), 3, crop=False)
