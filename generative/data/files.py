"""The user's own data: a folder of pictures, an npz file, MNIST and CIFAR-10 in their original formats."""

from __future__ import annotations

import gzip
import re
import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from core.errors import UsageError
from generative.data.cache import InMemory, OnDisk, Stamp, size_of, stamp
from generative.data.found import files_below, listed
from generative.data.pictures import BROKEN, Size, half_of, prepare, reason, sides
from generative.data.record import Known
from generative.data.registry import Images

__all__ = ["Folder", "read_cifar10", "read_mnist", "read_npz"]

MOST_IN_MEMORY = 2**30  # bytes of decoded pictures that a folder keeps
LABELS = ("labels", "y_train", "y")
IDX = re.compile(
    r"^(?P<set>.*?)(?P<part>train|t10k|test\w*)[-._](?P<kind>images|labels)[-._]idx[13][-._]ubyte(\.gz)?$",
    re.IGNORECASE,
)
"""train-images-idx3-ubyte, train-images.idx3-ubyte, emnist-letters-train-images-idx3-ubyte.gz, ..."""


class Folder:
    """The pictures below a folder as an array-like [N, height, width, channels] uint8, in the order of their names.

    Files whose header cannot be read were left out when the run began. One that turns out broken when decoded, or is missing by
    now, is replaced by the next good one, whatever thread meets it first. Either is counted and named.

    Decoded pictures are kept in the folder `cache`; without one, or where it cannot be used, in memory up to 1 GiB. `half` is the
    half of each picture that is taken, the left (0) or the right one (1), before it is made smaller; None for the whole.
    """

    def __init__(
        self,
        known: Known,
        size: Size,
        channels: int,
        crop: bool,
        say: Callable[[str], None],
        cache: Path | None = None,
        half: int | None = None,
    ):
        self._half = half
        self._size, self._channels, self._crop, self._say, self._cache = size, channels, crop, say, cache
        self.known, self._root = known, known.root
        self.bad: dict[int, str] = {}
        """Why pictures cannot be read, by row."""
        self.shape = (len(known.names), *sides(size), channels)
        self._lock = threading.Lock()
        self._begun = False
        self._stamps: list[Stamp | None] = []
        self._kept: OnDisk | InMemory | None = None

    def __len__(self) -> int:
        return self.shape[0]

    @cached_property
    def paths(self) -> list[Path]:
        """The files [N]."""
        return [self.known.path(name) for name in self.known.names]

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        return self.read(indices)[0]

    def read(self, indices: np.ndarray, among: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return pictures [B, height, width, channels] and whose they are [B]: another's where it stands in for a broken one.

        Stand-ins come from `among`, sorted rows that include `indices`; from the whole folder without it.
        """
        indices, kept = np.asarray(indices), self._kept
        if kept is not None:
            for i in indices[~kept.ready[indices]].tolist():
                if i not in self.bad:
                    kept.get(i)
            copied = self.at_once(indices)
            if copied is not None:
                return copied, indices
        rows = np.arange(len(self)) if among is None else among
        found = [self._good(rows, int(i)) for i in indices]
        return np.stack([picture for picture, _ in found]), np.array([row for _, row in found])

    def at_once(self, indices: np.ndarray) -> np.ndarray | None:
        """Return pictures [B, height, width, channels] that only need to be copied, or None where one of them needs more."""
        kept = self._kept
        return np.take(kept.pixels, indices, axis=0) if kept is not None and kept.ready[indices].all() else None

    def own(self, i: int) -> np.ndarray | None:
        """Return picture i, or None where its file is broken, which is said once."""
        self._begin()
        if i in self.bad:
            return None
        kept = self._kept
        if kept is not None and (picture := kept.get(i)) is not None:
            return picture
        try:
            with Image.open(self.known.path(self.known.names[i])) as file:
                whole = file if self._half is None else half_of(file, self._half)
                picture = prepare(whole, self._size, self._channels, self._crop)
        except BROKEN as error:
            with self._lock:
                if i not in self.bad:
                    self.bad[i] = reason(error)
                    self._say(f"{self.known.names[i]} is broken ({self.bad[i]}); the next picture stands in for it")
            return None
        if kept is not None:
            self._keep(kept, i, picture)
        return picture

    def _begin(self) -> None:
        """Compare with what is known of the folder, and open the cache; once, before the first picture."""
        if self._begun:
            return
        with self._lock:
            if self._begun:
                return
            self.known.check()
            missing = self.known.missing
            self.bad |= {i: "missing" for i, name in enumerate(self.known.names) if name in missing}
            self._kept = self._on_disk() or self._in_memory()
            self._begun = True

    def _on_disk(self) -> OnDisk | None:
        if self._cache is None:
            return None
        self._stamps = [self._stamp(i) for i in range(len(self))]
        how = ("cropped" if self._crop else "squeezed") + ("" if self._half is None else f" half {self._half}")
        try:
            kept = OnDisk(self._cache, self._root, self.known.names, self._stamps, self.shape, how, self._say)
        except (OSError, ValueError) as error:
            self._say(self._without(reason(error)))
            return None
        if kept.new:
            self._say(
                f"each picture is decoded once: all {len(self):,} will take {size_of(kept.size)} in {kept.path.parent} "
                "(data.cache: no for none, or another folder)"
            )
        return kept

    def _stamp(self, i: int) -> Stamp | None:
        return stamp(f"{self._root}/{self.known.names[i]}")

    def _in_memory(self) -> InMemory | None:
        return InMemory(self.shape) if int(np.prod(self.shape)) <= MOST_IN_MEMORY else None

    def _without(self, why: str) -> str:
        return f"decoded pictures cannot be kept in the cache {self._cache} ({why}); training goes on without"

    def _keep(self, kept: OnDisk | InMemory, i: int, picture: np.ndarray) -> None:
        if isinstance(kept, OnDisk) and self._stamp(i) != self._stamps[i]:
            return  # changed since the cache was opened, which is one of the old picture
        try:
            kept.put(i, picture)
        except OSError as error:
            with self._lock:
                if self._kept is kept:
                    self._say(self._without(reason(error)))
                    self._kept = self._in_memory()

    def _good(self, rows: np.ndarray, i: int) -> tuple[np.ndarray, int]:
        first = int(np.searchsorted(rows, i))
        for n in range(len(rows)):
            row = int(rows[(first + n) % len(rows)])
            picture = self.own(row)
            if picture is not None:
                return picture, row
        raise UsageError(f"none of the {len(rows)} pictures in {str(self._root)!r} can be read")


def read_npz(path: Path, say: Callable[[str], None] = lambda line: None) -> Images:
    """Read images [N, H, W] or [N, H, W, C] and, if there are any, labels [N] from an npz file.

    The images are the array `images`, `x_train` or `x`, or the only one of 3 or 4 dimensions; uint8, or floats in [0, 1].
    Labels are `labels`, `y_train` or `y`; words are numbered, and what is no label is left out with a line. Raises UsageError
    for a file that is no npz file of pictures.
    """
    try:
        with np.load(_existing(path), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if name not in LABELS}
            name = next((name for name in LABELS if name in file.files), "")
            labels, words = _labels(file, name, path, say) if name else (None, ())
    except BROKEN as error:  # .npy: TypeError
        raise UsageError(f"{str(path)!r} is no npz file of plain arrays: {reason(error)}") from error
    shaped = [name for name, array in arrays.items() if array.ndim in (3, 4)]
    named = [name for name in ("images", "x_train", "x") if name in shaped]
    if not named and len(shaped) != 1:
        listed = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items()) or "nothing"
        raise UsageError(f"{str(path)!r} holds {listed}; name the pictures 'images', [N, H, W] or [N, H, W, C]")
    images = arrays[(named or shaped)[0]]
    images = images[..., None] if images.ndim == 3 else images
    if images.dtype.kind == "f":
        if not (images.size and images.min() >= 0 and images.max() <= 1):
            raise UsageError(f"the pictures in {str(path)!r} are floats outside [0, 1]; store uint8 or divide by 255")
        images = np.round(images * 255).astype(np.uint8)
    if images.dtype != np.uint8 or images.shape[3] not in (1, 3) or not images.size:
        raise UsageError(
            f"the pictures in {str(path)!r} are {images.dtype} {list(images.shape)}; "
            "uint8 [N, H, W] or [N, H, W, 1 or 3] is needed"
        )
    if labels is not None and len(labels) != len(images):
        say(f"{path.name} has {len(labels):,} labels for {len(images):,} pictures; the labels are left out")
        labels = None
    return Images(images, labels, f"the file {path.name!r}", words=words)


def _labels(file: Any, name: str, path: Path, say: Callable[[str], None]) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Return the labels [N] int64 of an open npz file and their words; those that are no classes are said and left out."""
    try:
        labels = np.asarray(file[name])
    except BROKEN as error:
        say(f"the labels {name!r} in {path.name} cannot be read and are left out: {reason(error)}")
        return None, ()
    if labels.ndim == 2 and labels.shape[1] > 1 and labels.dtype.kind in "biuf":  # one column a class
        if not (((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all()):
            say(
                f"the labels {name!r} in {path.name} are {list(labels.shape)}, not one of each picture; they are left out"
            )
            return None, ()
        labels = labels.argmax(axis=1)
    if labels.ndim == 0:
        say(f"the labels {name!r} in {path.name} are a single value; they are left out")
        return None, ()
    labels = labels.reshape(-1)
    if labels.dtype.kind in "US":
        words, numbers = np.unique(labels, return_inverse=True)
        shown = ", ".join(f"{word} {i}" for i, word in enumerate(words[:10].astype(str).tolist()))
        say(
            f"the labels {name!r} in {path.name} are words, numbered in their order: {shown}{', ...' * (len(words) > 10)}"
        )
        return numbers.reshape(-1).astype(np.int64), tuple(words.astype(str).tolist())
    if labels.dtype.kind not in "biuf" or not (np.isfinite(labels) & (labels == np.floor(labels))).all():
        say(f"the labels {name!r} in {path.name} are {labels.dtype}, not all of them whole numbers; they are left out")
        return None, ()
    return labels.astype(np.int64), ()


def read_mnist(path: Path, say: Callable[[str], None] = lambda line: None) -> Images:
    """Read an idx3 file, gzipped or not, or the folder that holds one; labels if they lie beside it.

    The folder may be MNIST's, Fashion-MNIST's, one of EMNIST's or QMNIST's, as the authors, torchvision (`raw` below it) or
    Kaggle (a folder around each file) distribute it. Raises UsageError where there is none, several that differ in their names,
    or a damaged one.
    """
    if path.is_dir():
        path = _training_images(path)
    images = _read_idx(path, dimensions=3)[..., None]
    labels = None
    beside = _labels_beside(path)
    if beside is not None:
        labels = _read_idx(beside, dimensions=1).astype(np.int64)
        if len(labels) != len(images):
            raise UsageError(f"{str(beside)!r} has {len(labels)} labels for {len(images)} images")
    return Images(images, labels, f"the file {path.name!r}")


def _training_images(folder: Path) -> Path:
    """Return the one file of training pictures below a folder: of copies under nearly one name, the one nearest to the top."""
    named = {path: IDX.search(path.name) for path in files_below(folder).files}
    found = {path: match for path, match in named.items() if match and match["kind"].lower() == "images"}
    train = {path: match for path, match in found.items() if match["part"].lower() == "train"}
    if not train:
        beside = f"; {next(iter(found)).name} is a test set, name the file itself" if found else ""
        raise UsageError(
            f"the folder {str(folder)!r} holds no train-images-idx3-ubyte or train-images-idx3-ubyte.gz{beside}"
        )
    sets = sorted({match["set"].lower() for match in train.values()})
    if len(sets) > 1:
        raise UsageError(f"the folder {str(folder)!r} holds {len(sets)} sets, {listed(sets)}; name one file of them")
    return min(train, key=lambda path: (len(path.parts), str(path)))


def _labels_beside(path: Path) -> Path | None:
    """Return the file of labels that belongs to a file of pictures, if there is one."""
    match = IDX.search(path.name)
    if match is None or match["kind"].lower() != "images":
        return None
    beside = [*path.parent.iterdir()]
    if IDX.search(path.parent.name):  # Kaggle: a folder around each file
        beside += [
            file for folder in path.parent.parent.iterdir() if IDX.search(folder.name) for file in _inside(folder)
        ]
    for other in sorted(beside):
        about = IDX.search(other.name)
        wanted = ("labels", match["set"], match["part"])
        if about and (about["kind"].lower(), about["set"], about["part"]) == wanted and other.is_file():
            return other
    return None


def _inside(folder: Path) -> list[Path]:
    return [*folder.iterdir()] if folder.is_dir() else []


def _read_idx(path: Path, dimensions: int) -> np.ndarray:
    raw = _bytes(path)
    try:
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except BROKEN as error:
        raise UsageError(f"{str(path)!r} is a broken gzip file: {reason(error)}") from error
    header = 4 + 4 * dimensions
    if len(raw) < header or raw[:4] != bytes([0, 0, 8, dimensions]):
        raise UsageError(f"{str(path)!r} is no idx{dimensions} file of unsigned bytes, as MNIST's are")
    shape = np.frombuffer(raw, ">u4", dimensions, 4).astype(np.int64)
    if len(raw) != header + np.prod(shape) or not shape.all():
        raise UsageError(
            f"{str(path)!r} promises {shape.tolist()} bytes and has {len(raw) - header}: an incomplete copy?"
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def read_cifar10(path: Path, say: Callable[[str], None] = lambda line: None) -> Images:
    """Read CIFAR-10's binary version: the folder of data_batch_1.bin to data_batch_5.bin, or one such file."""
    batches = [path]
    if path.is_dir():
        batches = sorted(path.glob("data_batch_*.bin"))
        if not batches and list(path.glob("data_batch_*")):
            raise UsageError(f"{str(path)!r} is CIFAR-10's Python version, which is pickled; use the binary version")
        if not batches:
            raise UsageError(f"the folder {str(path)!r} holds no data_batch_1.bin of CIFAR-10's binary version")
    records = []
    for batch in batches:
        raw = np.frombuffer(_bytes(batch), np.uint8)
        if not raw.size or raw.size % 3073 or raw[::3073].max() > 9:
            raise UsageError(
                f"{str(batch)!r} is no CIFAR-10 binary file: records of 3,073 bytes, label first, are needed"
            )
        records.append(raw.reshape(-1, 3073))
    data = np.concatenate(records)
    images = np.ascontiguousarray(data[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    return Images(images, data[:, 0].astype(np.int64), "CIFAR-10")


def _bytes(path: Path) -> bytes:
    try:
        return _existing(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be read: {reason(error)}") from error


def _existing(path: Path) -> Path:
    if path.is_dir():
        raise UsageError(f"data.source names {str(path)!r}, which is a folder; a file is needed")
    if not path.is_file():
        raise UsageError(f"data.source names the file {str(path)!r}, which is not there")
    return path
