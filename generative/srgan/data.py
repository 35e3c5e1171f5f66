"""Photographs of any size for super-resolution: random crops to train on, whole pictures to measure on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from core.errors import UsageError
from core.iterate import Order
from core.layers.resampling import support
from core.layers.srgan import SCALE
from core.metrics.image_quality import BORDER, TAPS, quality
from generative.data.pictures import BROKEN, upright

__all__ = ["Crops", "Photo", "as_rgb", "enlarge", "measured_part", "open_photos", "pictures_in", "shrink"]

Say = Callable[[str], None]
MOST_IN_MEMORY = 2**30  # bytes of decoded pictures
MEASURABLE = -(-(TAPS + 2 * BORDER) // SCALE) * SCALE
"""Pixels a side that a picture must have for SSIM, once its sides are multiples of SCALE and its border is cut off."""
HELD_OUT = ("coffee", "chelsea", "flower")
TRAINED_ON = (
    *("astronaut", "rocket", "china", "stereo_motorcycle", "immunohistochemistry", "retina"),  # in colour
    *("camera", "brick", "grass", "gravel", "coins"),
)


class Photo:
    """A picture that is decoded when it is asked for: `read()` returns [H, W, 3] uint8."""

    def __init__(self, name: str, size: tuple[int, int], read: Callable[[], np.ndarray]):
        self.name, self.size, self.read = name, size, read
        """`size` is (height, width) as stored: an EXIF orientation may exchange them."""


class Crops:
    """Random square windows of photographs; batch number `position` is a function of (seed, position) alone.

    A window is `crop` pixels wide and has a margin of `support(SCALE)` around, so that the small crop made of it is exactly
    the one that a whole small picture would give. The pictures of a batch follow core.iterate.Order.
    """

    def __init__(
        self, name: str, photos: Sequence[Photo], crop: int, augment: bool, say: Say, *, recolour: bool = False
    ):
        self.window = crop + 2 * support(SCALE)
        self.name, self.augment, self.recolour, self._say = name, augment, recolour, say
        self.shape: tuple[int, ...] = (self.window, self.window, 3)
        small = [photo for photo in photos if min(photo.size) < self.window]
        self.photos = [photo for photo in photos if min(photo.size) >= self.window]
        if small:
            named = ", ".join(f"{photo.name} ({photo.size[1]}x{photo.size[0]})" for photo in small[:5])
            say(f"{len(small)} of {len(photos)} pictures are smaller than {self.window} pixels and left out: {named}")
        if not self.photos:
            largest = max((min(photo.size) for photo in photos), default=0)
            fits = (largest - 2 * support(SCALE)) // SCALE * SCALE
            raise UsageError(
                f"crop is {crop}, for which no picture of {name} is large enough; choose {max(fits, 16)} or less"
            )
        turned = ", mirrored and turned at random" if augment else ""
        turned += ", colour channels exchanged at random" if recolour else ""
        self.protocol = f"crops of {crop} pixels from {len(self.photos):,} photographs of {name}{turned}"
        self._memory: dict[int, np.ndarray] = {}
        self._broken: set[int] = set()
        self._room = MOST_IN_MEMORY
        self._lock = threading.Lock()
        self._order: Order | None = None

    def draw(self, seed: int, position: int, batch: int) -> np.ndarray:
        """Return windows [batch, window, window, 3] uint8."""
        order = self._order
        if order is None or (order.batch, order.seed) != (batch, seed):
            self._order = order = Order(len(self.photos), batch, seed)
        rng = np.random.default_rng([seed, position])
        windows = np.empty((batch, *self.shape), np.uint8)
        for row, i in enumerate(order.indices(position)):
            photo = self._read(int(i))
            top, left = (int(rng.integers(n - self.window + 1)) for n in photo.shape[:2])
            window = photo[top : top + self.window, left : left + self.window]
            turns, mirrored, channels = int(rng.integers(4)), bool(rng.integers(2)), rng.permutation(3)
            if self.augment:
                window = np.rot90(window, turns)
                window = window[:, ::-1] if mirrored else window
            windows[row] = window[..., channels] if self.recolour else window
        return windows

    def reference(self, count: int) -> np.ndarray:
        return self.draw(0, 2**32, count)  # a position no training reaches

    def _read(self, i: int) -> np.ndarray:
        """Return picture i, or the next one that can be decoded."""
        for j in (k % len(self.photos) for k in range(i, i + len(self.photos))):
            if j in self._memory:
                return self._memory[j]
            if j in self._broken:
                continue
            try:
                photo = self.photos[j].read()
            except BROKEN as error:
                with self._lock:
                    if j not in self._broken:
                        self._broken.add(j)
                        self._say(f"{self.photos[j].name} is broken ({error}); the next picture stands in for it")
                continue
            with self._lock:
                if photo.nbytes <= self._room and j not in self._memory:
                    self._memory[j] = photo
                    self._room -= photo.nbytes
            return photo
        raise UsageError(f"none of the {len(self.photos)} pictures of {self.name} can be read")


def open_photos(
    source: str, test: str, held_out: int, say: Say, *, eval_side: int = 0
) -> tuple[str, list[Photo], list[Photo]]:
    """Return (what they are, photographs to train on, photographs to measure on).

    `source` is photos or folder:PATH; a folder with DIV2K_train_HR and DIV2K_valid_HR inside is used as these say, another one
    holds out `held_out` pictures, always the same. `test`, if given, is a folder that takes the place of the held-out ones.
    `eval_side` is that of SRGANConfig.
    Pictures to measure on are decoded once, so that no run meets one that cannot be measured at its first evaluation.

    Raises UsageError for a path that is not there or holds no picture, and where no picture can be measured on.
    """
    if source == "photos":
        name, train, tests = "photos", _bundled(TRAINED_ON), _bundled(HELD_OUT)
    else:
        root = Path(source.partition(":")[2])
        name = f"the folder {root.name!r}"
        if (root / "DIV2K_train_HR").is_dir():
            valid = root / "DIV2K_valid_HR"
            train, tests = pictures_in(root / "DIV2K_train_HR", say), pictures_in(valid, say) if valid.is_dir() else []
        else:
            train, tests = pictures_in(root, say), []
        if not tests and not test:
            if len(train) <= held_out:
                raise UsageError(
                    f"held_out is {held_out}, of {len(train)} pictures in {str(root)!r}; hold out fewer, or name a folder as test"
                )
            order = np.random.default_rng(0).permutation(len(train))
            tests = [train[i] for i in order[:held_out]]
            train = [train[i] for i in sorted(order[held_out:])]
    if test:
        tests = pictures_in(Path(test.removeprefix("folder:")), say)
        return name, train, _measurable(tests, len(tests), eval_side, say)
    return name, train, _measurable(tests, held_out, eval_side, say)


def _measurable(photos: Sequence[Photo], most: int, eval_side: int, say: Say) -> list[Photo]:
    """Return the first `most` photographs that can be decoded and measured; the others before them are named.

    One that bicubic interpolation restores without an error, e.g. of one colour, has no finite PSNR.
    """
    good: list[Photo] = []
    bad: list[str] = []
    for photo in photos:
        if len(good) == most:
            break
        try:
            picture = photo.read()
        except BROKEN as error:
            bad.append(f"{photo.name} ({error})")
            continue
        height, width = picture.shape[:2]
        part = measured_part(picture, eval_side)
        if min(height, width) < MEASURABLE:
            bad.append(f"{photo.name} ({width}x{height}, at least {MEASURABLE} pixels a side are needed)")
        elif np.isinf(quality(part, enlarge(shrink(part), Image.Resampling.BICUBIC))["psnr_y"]):
            bad.append(f"{photo.name} (bicubic interpolation restores it without an error)")
        else:
            good.append(photo)
    if not good:
        raise UsageError(f"none of the {len(photos)} pictures to measure on can be used: {', '.join(bad[:5])}")
    if bad:
        say(f"{len(bad)} pictures to measure on cannot be used and are left out: {', '.join(bad[:5])}")
    return good


def pictures_in(folder: Path, say: Say = lambda line: None) -> list[Photo]:
    """Return the pictures below a folder in the order of their names; files whose header cannot be read are named and left out.

    Where files end in _HR, as in some copies of Set5 and Set14, the others are their small versions and left out.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {str(folder)!r}")
    endings = Image.registered_extensions()
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in endings and p.is_file())
    large = [p for p in found if p.stem.endswith("_HR")]
    photos, bad = [], []
    for path in large or found:
        try:
            with Image.open(path) as picture:
                width, height = picture.size
            photos.append(Photo(str(path.relative_to(folder)), (height, width), partial(_decode, path)))
        except BROKEN as error:
            bad.append(f"{path.relative_to(folder)} ({error})")
    if bad:
        say(f"{len(bad)} of {len(found)} files in {folder} cannot be read and are left out: {', '.join(bad[:5])}")
    if not photos:
        raise UsageError(f"the folder {str(folder)!r} holds no picture that can be read")
    return photos


def as_rgb(picture: Image.Image) -> Image.Image:
    """Return a picture upright, as its EXIF orientation says, and in 8-bit RGB; transparent pixels keep their colour."""
    picture = upright(picture)
    return picture.convert("RGBA").convert("RGB") if "transparency" in picture.info else picture.convert("RGB")


def shrink(picture: np.ndarray) -> np.ndarray:
    """Return a picture [H, W, 3] uint8 SCALE times smaller, Pillow's bicubic filter; H and W are multiples of SCALE."""
    height, width = picture.shape[:2]
    return np.asarray(Image.fromarray(picture).resize((width // SCALE, height // SCALE), Image.Resampling.BICUBIC))


def enlarge(picture: np.ndarray, kind: Image.Resampling) -> np.ndarray:
    """Return a picture [H, W, 3] uint8 SCALE times larger by one of Pillow's filters."""
    return np.asarray(Image.fromarray(picture).resize((picture.shape[1] * SCALE, picture.shape[0] * SCALE), kind))


def measured_part(picture: np.ndarray, side: int) -> np.ndarray:
    """Return the middle of a picture, at most `side` pixels a side (0: all of it), sides cut to multiples of SCALE."""
    sides = [min(n, side or n) // SCALE * SCALE for n in picture.shape[:2]]
    top, left = ((n - m) // 2 for n, m in zip(picture.shape[:2], sides, strict=True))
    return np.ascontiguousarray(picture[top : top + sides[0], left : left + sides[1]])


def _decode(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(as_rgb(picture))


def _bundled(names: Sequence[str]) -> list[Photo]:
    """Return photographs that come with scikit-image and scikit-learn, grey ones as colour."""
    from skimage import data
    from sklearn.datasets import load_sample_image

    photos = []
    for name in names:
        image = load_sample_image(f"{name}.jpg") if name in ("china", "flower") else getattr(data, name)()
        image = image[0] if isinstance(image, tuple) else image  # of a stereo pair the left one
        image = np.ascontiguousarray(np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image)
        photos.append(Photo(name, image.shape[:2], partial(np.asarray, image)))
    return photos
