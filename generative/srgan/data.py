"""Photographs of any size for super-resolution: random crops to train on, whole pictures to measure on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from core.errors import UsageError
from core.iterate import Order
from core.layers.resampling import support
from core.metrics.image_quality import TAPS, quality
from core.seeds import child
from generative.data.found import Header, listed, pictures_below
from generative.data.photographs import GREY, HELD_OUT, IN_COLOUR, STUDIED, photograph
from generative.data.pictures import BROKEN, reason, upright
from generative.data.record import Known, Record, place_of, split_order
from generative.srgan.degradations import degrade

__all__ = [
    "Batch",
    "Crops",
    "Photo",
    "as_rgb",
    "bundled_photos",
    "enlarge",
    "keep_strips",
    "open_photos",
    "pair_of",
    "pictures_in",
    "shrink",
    "strips_of",
]

Say = Callable[[str], None]
MOST_IN_MEMORY = 2**30  # bytes of decoded pictures
LARGE = ("HR", "DIV2K_valid_HR")  # folders of a benchmark that hold the large pictures
STRIP = 8  # the share of a photograph to train on that is kept to choose the checkpoint by: one eighth
VERSIONS = ("LR", "bicubic", "nearest", "A+", "glasner", "kim", "ScSR", "SelfExSR", "SRCNN")
"""How copies of Set5 and Set14 name what methods made of a picture NAME_HR."""
TRAINED_ON = (*IN_COLOUR, *STUDIED, *GREY)


class Photo:
    """A picture that is decoded when it is asked for: `read()` returns [H, W, 3] uint8."""

    def __init__(
        self,
        name: str,
        size: tuple[int, int],
        read: Callable[[], np.ndarray],
        read_small: Callable[[], np.ndarray] | None = None,
    ):
        self.name, self.size, self.read, self.read_small = name, size, read, read_small
        """`size` is (height, width) as stored: an EXIF orientation may exchange them. `read_small` reads the same made smaller,
        where a benchmark has a file of it."""


class Batch(NamedTuple):
    """Windows of photographs and, where these are not made in the graph, the same crops made smaller."""

    windows: np.ndarray  # [B, window, window, 3] uint8
    small: np.ndarray | None = None  # [B, crop / scale, crop / scale, 3] uint8
    strengths: np.ndarray | None = None  # [B] float32 in [0, 1]


class Crops:
    """Random square windows of photographs; batch number `position` is a function of (seed, position) alone.

    A window is `crop` pixels wide and has a margin of `support(scale)` around, so that the small crop made of it is exactly
    the one that a whole small picture would give. The pictures of a batch follow core.iterate.Order.
    """

    def __init__(
        self,
        name: str,
        photos: Sequence[Photo],
        crop: int,
        augment: bool,
        say: Say,
        *,
        scale: int = 4,
        recolour: bool = False,
        degradation: Literal["bicubic", "first", "second"] = "bicubic",
    ):
        self.scale, self.degradation = scale, degradation
        self.window = crop + 2 * support(scale)
        self.name, self.augment, self.recolour, self._say = name, augment, recolour, say
        self.shape: tuple[int, ...] = (self.window, self.window, 3)
        small = [photo for photo in photos if min(photo.size) < self.window]
        self.photos = [photo for photo in photos if min(photo.size) >= self.window]
        if small:
            named = listed([f"{photo.name} ({photo.size[1]}x{photo.size[0]})" for photo in small])
            say(f"{len(small)} of {len(photos)} pictures are smaller than {self.window} pixels and left out: {named}")
        if not self.photos:
            largest = max((min(photo.size) for photo in photos), default=0)
            fits = max((largest - 2 * support(scale)) // scale, -(-16 // scale)) * scale
            raise UsageError(f"crop is {crop}, for which no picture of {name} is large enough; choose {fits} or less")
        turned = ", mirrored and turned at random" if augment else ""
        turned += ", colour channels exchanged at random" if recolour else ""
        if degradation != "bicubic":
            turned += f", made small with blur, resizing, noise and JPEG of {degradation} order"
        self.protocol = f"crops of {crop} pixels from {len(self.photos):,} photographs of {name}{turned}"
        self._memory: dict[int, np.ndarray] = {}
        self._broken: set[int] = set()
        self._room = MOST_IN_MEMORY
        self._lock = threading.Lock()
        self._order: Order | None = None

    def draw(self, seed: int, position: int, batch: int) -> Batch:
        """Return windows [batch, window, window, 3] uint8; with degradations the small crops and their strengths, too."""
        windows = self._windows(seed, position, batch)
        if self.degradation == "bicubic":
            return Batch(windows)
        rng = np.random.default_rng(child(seed, "degradations", position))
        strengths, cut = rng.random(batch, np.float32), support(self.scale) // self.scale
        small = [
            degrade(window, self.scale, self.degradation, float(strength), rng)[cut:-cut, cut:-cut]
            for window, strength in zip(windows, strengths, strict=True)
        ]
        return Batch(windows, np.stack(small), strengths)

    def _windows(self, seed: int, position: int, batch: int) -> np.ndarray:
        order, order_seed = self._order, child(seed, "order")
        if order is None or (order.batch, order.seed) != (batch, order_seed):
            self._order = order = Order(len(self.photos), batch, order_seed)
        rng = np.random.default_rng(child(seed, "windows", position))
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
                        why = reason(error)
                        self._say(f"{self.photos[j].name} is broken ({why}); the next picture stands in for it")
                continue
            with self._lock:
                if photo.nbytes <= self._room and j not in self._memory:
                    self._memory[j] = photo
                    self._room -= photo.nbytes
            return photo
        raise UsageError(f"none of the {len(self.photos)} pictures of {self.name} can be read")


def open_photos(
    source: str,
    test: str,
    held_out: int,
    say: Say,
    *,
    scale: int = 4,
    eval_side: int = 0,
    folder: Path | None = None,
) -> tuple[str, list[Photo], list[Photo]]:
    """Return (what they are, photographs to train on, photographs to measure on).

    `source` is photos or folder:PATH; a folder with DIV2K_train_HR and DIV2K_valid_HR inside is used as these say, another one
    holds out `held_out` pictures, chosen by a hash of their names. `test`, if given, is a folder that takes the place of the
    held-out ones. `eval_side` is that of SRGANConfig. Pictures to measure on are decoded once, so that no run meets one that
    cannot be measured at its first evaluation.

    Both lists are recorded in `folder`, the plugin's own, and are the same ones whenever the run goes on: pictures that were
    added since are not used, and what is missing is an error only when it is read.

    Raises UsageError for a path that is not there or holds no picture, and where no picture can be measured on.
    """
    record = Record(folder)
    name = "photos"
    train = tests = _bundled(TRAINED_ON)
    kept_train = kept_tests = None
    apart, what = (f"folder:{test.removeprefix('folder:')}", "test") if test else (source, "source")
    if source != "photos":
        name = f"the folder {place_of(record.part('train'), source).name!r}"
        kept_train = Known.again(record, "train", source, "source", say)
    elif not test:
        return name, train, _measurable(_bundled(HELD_OUT), held_out, scale, eval_side, say)
    kept_tests = Known.again(record, "test", apart, what, say)
    if kept_tests and (kept_train or source == "photos"):
        return name, _photos(kept_train) if kept_train else train, _photos(kept_tests, scale)
    held: dict[Path, Header] = {}
    others: list[Path] = []  # files beside those to measure on
    below = ""  # where these lie
    if source != "photos":
        root = place_of(None, source)
        div2k = "DIV2K_train_HR" if (root / "DIV2K_train_HR").is_dir() else ""
        good, bad = _large_in(root / div2k, say, "source")
        if div2k and (root / "DIV2K_valid_HR").is_dir():
            below = "DIV2K_valid_HR"
            held, others = _large_in(root / below, say, "source")
        elif not test:
            below, everything = div2k, good
            good, held = _split(good, root / div2k, held_out, by_position=record.older)
            others, bad = [*good, *bad], [*(path for path in everything if path in held), *bad]
        train = _photos(Known.first(record, "train", source, "source", say, good, bad, below=div2k))
    if test:
        place = place_of(None, apart)
        below = next((part for part in (*LARGE, f"image_SRF_{scale}") if (place / part).is_dir()), "")
        held, others = _large_in(place / below, say, "test")
    root = place_of(None, apart) / below
    tests = [_photo(path.relative_to(root).as_posix(), header, path, scale) for path, header in held.items()]
    tests = _measurable(tests, len(tests) if test else held_out, scale, eval_side, say)
    chosen = {root / photo.name: held[root / photo.name] for photo in tests}
    others += [path for path in held if path not in chosen]
    Known.first(record, "test", apart, what, say, chosen, others, below=below)
    return name, train, tests


def _photo(name: str, header: Header, path: Path, scale: int = 0) -> Photo:
    return Photo(name, (header.height, header.width), partial(_decode, path), _small_file(path, scale))


def _photos(known: Known, scale: int = 0) -> list[Photo]:
    return [
        Photo(name, known.sizes[name][::-1], partial(_read_known, known, name), _small_file(known.path(name), scale))
        for name in known.names
    ]


def _small_file(path: Path, scale: int) -> Callable[[], np.ndarray] | None:
    """Return what reads the small version of a picture that a benchmark has, by the usual names; None where there is none.

    DIV2K_valid_HR/0801.png has DIV2K_valid_LR_bicubic/X4/0801x4.png, Set5/HR/baby.png has Set5/LR_bicubic/X4/babyx4.png, and
    image_SRF_4/img_001_SRF_4_HR.png has img_001_SRF_4_LR.png beside it, where the name does not say another scale.
    """
    if not scale:
        return None
    small = None
    if path.stem.endswith("_HR") and (f"_SRF_{scale}_" in path.stem or "_SRF_" not in path.stem):
        small = path.with_name(f"{path.stem.removesuffix('_HR')}_LR{path.suffix}")
    elif path.parent.name.endswith("HR"):
        folder = path.parent.with_name(f"{path.parent.name.removesuffix('HR')}LR_bicubic")
        small = folder / f"X{scale}" / f"{path.stem}x{scale}{path.suffix}"
    return partial(_decode, small) if small is not None and small.is_file() else None


def _read_known(known: Known, name: str) -> np.ndarray:
    known.check()
    return _decode(known.path(name))


def _split(
    good: dict[Path, Header], root: Path, held_out: int, *, by_position: bool
) -> tuple[dict[Path, Header], dict[Path, Header]]:
    """Return (pictures to train on, pictures that are held out), in the order of the names and of their hashes."""
    if len(good) <= held_out:
        raise UsageError(
            f"held_out is {held_out}, of {len(good)} pictures in {str(root)!r}; hold out fewer, or name a folder as test"
        )
    paths = list(good)
    order = split_order([path.relative_to(root).as_posix() for path in paths], by_position=by_position)
    held = {paths[i]: good[paths[i]] for i in order[:held_out]}
    return {path: header for path, header in good.items() if path not in held}, held


def strips_of(folder: Path | None, count: int) -> int:
    """Return from how many photographs a run keeps a strip: `count`, recorded in `folder`, or none if the run is from before.

    To be asked before `open_photos` records what it finds.
    """
    record = Record(folder)
    kept = record.part("strips")
    if kept is None:
        before = record.older or record.part("train") is not None or record.part("test") is not None
        kept = {"count": 0 if before else count}
        record.keep("strips", kept)
    return int(kept["count"])


def keep_strips(photos: Sequence[Photo], count: int, scale: int, window: int) -> tuple[list[Photo], list[Photo]]:
    """Return (photographs to train on, strips to choose the checkpoint by): the right eighth of the first `count` photographs.

    A photograph keeps none where the strip could not be measured or no window of `window` pixels would be left.
    """
    rest, strips = list(photos), []
    for i, photo in enumerate(photos[:count]):
        wide = min(photo.size) // STRIP  # the same whichever side an EXIF orientation makes the width
        if wide < _least(scale) or min(photo.size) - wide < window:
            continue
        left = (photo.size[0] - wide, photo.size[1] - wide)
        rest[i] = Photo(photo.name, left, partial(_columns, photo, slice(None, -wide)))
        strips.append(Photo(photo.name, (photo.size[0], wide), partial(_columns, photo, slice(-wide, None))))
    return rest, strips


def _columns(photo: Photo, columns: slice) -> np.ndarray:
    return photo.read()[:, columns]


def _measurable(photos: Sequence[Photo], most: int, scale: int, eval_side: int, say: Say) -> list[Photo]:
    """Return the first `most` photographs that can be decoded and measured; the others before them are named.

    One that bicubic interpolation restores without an error, e.g. of one colour, has no finite PSNR.
    """
    good: list[Photo] = []
    bad: list[str] = []
    least = _least(scale)
    for photo in photos:
        if len(good) == most:
            break
        try:
            part, small = pair_of(photo, scale, eval_side)
        except BROKEN as error:
            bad.append(f"{photo.name} ({reason(error)})")
            continue
        height, width = part.shape[:2]
        if min(height, width) < least:
            height, width = photo.read().shape[:2]
            bad.append(f"{photo.name} ({width}x{height}, at least {least} pixels a side are needed)")
        elif np.isinf(quality(part, enlarge(small, scale), scale)["psnr_y"]):
            bad.append(f"{photo.name} (bicubic interpolation restores it without an error)")
        else:
            good.append(photo)
    if not good:
        raise UsageError(f"none of the {len(photos)} pictures to measure on can be used: {listed(bad)}")
    if bad:
        say(f"{len(bad)} pictures to measure on cannot be used and are left out: {listed(bad)}")
    return good


def pictures_in(folder: Path, say: Say = lambda line: None) -> list[Photo]:
    """Return the pictures below a folder in the order of their names; what is left out is named.

    Where a file's name ends in _HR, as in some copies of Set5 and Set14, its other versions beside it (NAME_LR, NAME_bicubic
    and so on) are left out. Raises UsageError for a path that is no folder and for one without a picture.
    """
    good, _ = _large_in(folder, say, "the folder")
    return [_photo(path.relative_to(folder).as_posix(), header, path) for path, header in good.items()]


def _large_in(root: Path, say: Say, what: str) -> tuple[dict[Path, Header], list[Path]]:
    """Return (headers of the pictures below a folder, files that are left out)."""
    good, bad = pictures_below(root, say, what)
    versions = []
    for path in good:
        base, _, version = path.stem.rpartition("_")
        large = [
            path.with_name(f"{name}_HR{path.suffix}") for name in (path.stem, *([base] if version in VERSIONS else []))
        ]
        if not path.stem.endswith("_HR") and any(other in good for other in large):
            versions.append(path)
    if versions:
        names = listed([path.relative_to(root).as_posix() for path in versions])
        say(f"{len(versions)} pictures in {root} are other versions of those named _HR and are left out: {names}")
    return {path: header for path, header in good.items() if path not in versions}, [*bad, *versions]


def as_rgb(picture: Image.Image) -> Image.Image:
    """Return a picture upright, as its EXIF orientation says, and in 8-bit RGB; transparent pixels keep their colour."""
    picture = upright(picture)
    return picture.convert("RGBA").convert("RGB") if "transparency" in picture.info else picture.convert("RGB")


def shrink(picture: np.ndarray, scale: int) -> np.ndarray:
    """Return a picture [H, W, 3] uint8 `scale` times smaller, Pillow's bicubic filter; H and W are multiples of it."""
    height, width = picture.shape[:2]
    return np.asarray(Image.fromarray(picture).resize((width // scale, height // scale), Image.Resampling.BICUBIC))


def enlarge(picture: np.ndarray, scale: int, kind: Image.Resampling = Image.Resampling.BICUBIC) -> np.ndarray:
    """Return a picture [H, W, 3] uint8 `scale` times larger by one of Pillow's filters."""
    return np.asarray(Image.fromarray(picture).resize((picture.shape[1] * scale, picture.shape[0] * scale), kind))


def pair_of(
    photo: Photo, scale: int, side: int = 0, shrunk: Callable[[np.ndarray], np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return (picture, the same `scale` times smaller) of the middle, at most `side` pixels a side (0: all of it).

    The small one is the benchmark's file as it is, where there is one; the large one is cut to its size on the right and below,
    as is usual. Otherwise `shrunk` makes it. Raises ValueError for a file that is not `scale` times smaller, and what reading
    raises.
    """
    whole = photo.read()
    if photo.read_small is None:
        whole = measured_part(whole, scale, side)
        return whole, shrunk(whole) if shrunk else shrink(whole, scale)
    small = photo.read_small()
    height, width = small.shape[:2]
    if any(not n // scale <= m <= -(-n // scale) for n, m in zip(whole.shape[:2], small.shape[:2], strict=True)):
        sides = f"{whole.shape[1]}x{whole.shape[0]}"
        raise ValueError(f"its small file is {width}x{height}, not {scale} times smaller than {sides}")
    height, width = (min(n, m // scale) for n, m in zip(small.shape[:2], whole.shape[:2], strict=True))
    rows, columns = (min(n, side // scale or n) for n in (height, width))
    top, left = (height - rows) // 2, (width - columns) // 2
    large = whole[scale * top : scale * (top + rows), scale * left : scale * (left + columns)]
    return np.ascontiguousarray(large), np.ascontiguousarray(small[top : top + rows, left : left + columns])


def measured_part(picture: np.ndarray, scale: int, side: int = 0) -> np.ndarray:
    """Return the middle of a picture, at most `side` pixels a side (0: all of it), sides cut to multiples of `scale`."""
    sides = [min(n, side or n) // scale * scale for n in picture.shape[:2]]
    top, left = ((n - m) // 2 for n, m in zip(picture.shape[:2], sides, strict=True))
    return np.ascontiguousarray(picture[top : top + sides[0], left : left + sides[1]])


def _least(scale: int) -> int:
    """Return the pixels a side that a picture must have for SSIM, once its sides are multiples of `scale`, its border cut off."""
    return -(-(TAPS + 2 * scale) // scale) * scale


def _decode(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(as_rgb(picture))


def bundled_photos() -> list[Photo]:
    """Return the bundled photographs to train on."""
    return _bundled(TRAINED_ON)


def _bundled(names: Sequence[str]) -> list[Photo]:
    images = {name: photograph(name) for name in names}
    return [Photo(name, image.shape[:2], partial(np.asarray, image)) for name, image in images.items()]
