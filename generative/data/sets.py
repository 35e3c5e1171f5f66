"""Sets of pictures to measure: a folder, an .npz file or a data source, read once and in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from PIL import Image

from core.errors import UsageError, nearest
from generative.data.captions import SIZE, open_captions
from generative.data.files import Folder, read_npz
from generative.data.found import pictures_below
from generative.data.pictures import BROKEN, prepare, prepare_all, reason, upright
from generative.data.registry import Source, all_sources
from generative.data.settings import CaptionConfig, DataConfig
from generative.data.sources import Mixture, Pictures, open_data

__all__ = [
    "DRAWN",
    "Batch",
    "Named",
    "PictureSet",
    "Say",
    "named",
    "of_folder",
    "of_npz",
    "of_source",
    "sides_of",
    "sized",
    "source_of",
]

DRAWN = 5_000
"""Pictures of a run, or of a source without an end, where no number is given."""
AT_ONCE = 250  # pictures that are read at a time
Batch = tuple[np.ndarray, Sequence[str]]
"""Pictures [B, H, W, C] uint8, and the names of their classes [B], or none."""
Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True)
class PictureSet:
    """Pictures of one size, read once, in batches."""

    what: str
    """For the protocol."""
    sides: tuple[int, int]
    """Height and width."""
    count: int
    batches: Iterator[Batch]
    """At most `count` pictures in all: fewer where files turn out broken."""
    digits: Callable[[], bool] = lambda: False
    """Whether they are known to be of single digits."""


def of_folder(path: Path, n: int, size: int, say: Say) -> PictureSet:
    headers, _ = pictures_below(path, say, "the set")
    sizes = {(header.height, header.width): file for file, header in headers.items()}
    if len(sizes) > 1 and not size:
        some = [f"{file.name} {sized(sides)}" for sides, file in sizes.items()][:2]
        raise UsageError(
            f"the pictures in {str(path)!r} have {len(sizes)} sizes ({', '.join(some)}); bring all to one with --size, e.g. "
            f"--size {min(map(min, sizes))}"
        )
    files = _spread([*headers], n)
    below = {file: file.relative_to(path).parts for file in headers}
    labelled = all(len(parts) > 1 for parts in below.values()) and len({parts[0] for parts in below.values()}) > 1
    sides = (size, size) if size else next(iter(sizes))

    def read(file: Path) -> Any:
        try:
            with Image.open(file) as opened_file:
                picture = upright(opened_file)
                turned = (picture.height, picture.width)
                if not size and turned != sides:
                    raise UsageError(
                        f"{str(file)!r} is {sized(turned)} once it is turned upright, others are {sized(sides)}; bring all to "
                        f"one size with --size, e.g. --size {min(sides)}"
                    )
                return prepare(picture, sides, 3, True)
        except BROKEN as error:
            say(f"{file} cannot be read and is left out: {reason(error)}")
            return None

    def pictures() -> Iterator[Batch]:
        for start in range(0, len(files), AT_ONCE):
            found = {file: read(file) for file in files[start : start + AT_ONCE]}
            whole = {file: picture for file, picture in found.items() if picture is not None}
            if whole:
                yield np.stack([*whole.values()]), [below[file][0] for file in whole] if labelled else ()

    return PictureSet(f"the folder {path.name!r}", sides, len(files), pictures())


def of_npz(path: Path, n: int, size: int, say: Say) -> PictureSet:
    images, labels, what, _, words = read_npz(path, say)
    names = None if labels is None else [words[i] if words else str(i) for i in labels.tolist()]
    return _of_arrays(what, images, names, n, size)


def _of_arrays(what: str, images: Any, names: Sequence[str] | None, n: int, size: int) -> PictureSet:
    """Return the pictures of an array [N, H, W, C]."""
    rows = _spread(range(len(images)), n)

    def pictures() -> Iterator[Batch]:
        for start in range(0, len(rows), AT_ONCE):
            some = rows[start : start + AT_ONCE]
            yield prepare_all(images[some], size, 0), () if names is None else [names[i] for i in some]

    sides = (size, size) if size else (int(images.shape[1]), int(images.shape[2]))
    return PictureSet(what, sides, len(rows), pictures())


def of_source(text: str, source: Source, n: int, size: int, say: Say) -> PictureSet:
    if source.kind in ("text", "pairs", "two"):
        has = {"text": "text", "pairs": "pairs", "two": "two sources"}[source.kind]
        raise UsageError(f"{text} has {has}, no pictures; name a source of pictures")
    if source.kind == "captions":
        data = open_captions(CaptionConfig(text), say).train
        rows = _spread(data.rows.tolist(), n)

        def captioned() -> Iterator[Batch]:
            for start in range(0, len(rows), AT_ONCE):
                yield prepare_all(data.read(np.array(rows[start : start + AT_ONCE]))[0], size, 0), ()

        side = size or SIZE
        return PictureSet(data.protocol, (side, side), len(rows), captioned())
    found = open_data(DataConfig(text, size=size), say)
    if isinstance(found, Mixture):
        raise UsageError(f"{text} has points, no pictures; name a source of pictures")
    digits = found.digits == 1
    if not isinstance(found, Pictures):
        images = found.reference(n or DRAWN)
        return PictureSet(found.protocol, sides_of(images), len(images), iter([(images, ())]), lambda: digits)
    positions = _spread(range(len(found)), n)
    labels = found.labels

    def pictures() -> Iterator[Batch]:
        for start in range(0, len(positions), AT_ONCE):
            some = np.array(positions[start : start + AT_ONCE])
            yield found.rows_at(some), () if labels is None else [str(label) for label in labels[some].tolist()]

    sides = (int(found.shape[0]), int(found.shape[1]))
    return PictureSet(found.protocol, sides, len(positions), pictures(), lambda: digits)


class Named(NamedTuple):
    """Pictures and what they are called."""

    positions: np.ndarray
    """[B] of 0 ... N - 1 in the data."""
    names: list[str]
    """[B] paths below a folder, or numbers."""
    labels: list[str]
    """[B], or none; of a folder those of the folders in it."""
    images: np.ndarray
    """[B, H, W, C] uint8."""


def named(data: Pictures) -> Iterator[Named]:
    """Yield all pictures of `data` in batches; of a folder those that can be read."""
    folder = data.images if isinstance(data.images, Folder) else None
    files = folder.known.names if folder is not None else []
    nested = bool(files) and all("/" in name for name in files)
    for start in range(0, len(data), AT_ONCE):
        positions = np.arange(start, min(start + AT_ONCE, len(data)))
        if folder is None:
            labels = [] if data.labels is None else [str(label) for label in data.labels[positions].tolist()]
            yield Named(positions, [str(i) for i in positions], labels, data.rows_at(positions))
            continue
        read = {int(i): folder.own(int(i)) for i in positions}
        whole = {i: image for i, image in read.items() if image is not None}
        if whole:
            names = [files[i] for i in whole]
            labels = [name.partition("/")[0] for name in names] if nested else []
            yield Named(np.array([*whole]), names, labels, np.stack([*whole.values()]))


def source_of(text: str) -> str:
    """Return the data.source that a word of the command line names: a source, a folder or an .npz file of pictures.

    Raises UsageError for none of them. The name of a source is that source: a folder of that name is ./NAME.
    """
    found = [source for source in all_sources()[0] if source.kind == "pictures"]
    name, colon, _ = text.partition(":")
    if any(source.name == name and bool(source.argument) == bool(colon) for source in found):
        return text
    path = Path(text).expanduser()
    if path.is_dir() or path.is_file():
        return f"{'folder' if path.is_dir() else 'npz'}:{path}"
    if "/" in text and not colon:
        raise UsageError(f"there is no folder or file {text!r}")
    raise UsageError(
        f"{text!r} is no folder, .npz file or data source; {nearest(text, [source.usage for source in found])}"
    )


def _spread(items: Sequence[T], n: int) -> list[T]:
    """Return n items at equal distances, all for 0 or where there are fewer."""
    n = min(n or len(items), len(items))
    return [items[i * len(items) // n] for i in range(n)]


def sides_of(images: np.ndarray) -> tuple[int, int]:
    """Return height and width of pictures [N, H, W, C]."""
    return int(images.shape[1]), int(images.shape[2])


def sized(sides: tuple[int, int]) -> str:
    """Return "28x28"."""
    return f"{sides[0]}x{sides[1]}"
