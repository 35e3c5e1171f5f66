"""The user's own data: a folder of pictures, an npz file, MNIST and CIFAR-10 in their original formats."""

from __future__ import annotations

import gzip
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from core.errors import UsageError
from generative.data.pictures import BROKEN, Size, prepare, sides

__all__ = ["Folder", "read_cifar10", "read_mnist", "read_npz"]

MOST_IN_MEMORY = 2**30  # bytes of decoded pictures that a folder keeps
NAMED_AT_MOST = 5  # bad files in one message


class Folder:
    """The pictures below a folder as an array-like [N, height, width, channels] uint8, in the order of their names.

    Files whose header cannot be read are left out at the start. One that turns out broken when decoded is replaced by the
    next good one, whatever thread meets it first. Either is counted and named. Decoded pictures stay in memory up to 1 GiB.
    """

    def __init__(self, path: Path, size: Size, channels: int, crop: bool, say: Callable[[str], None]):
        if not path.is_dir():
            raise UsageError(f"data.source names the folder {str(path)!r}, which is not there")
        self._size, self._channels, self._crop, self._say = size, channels, crop, say
        self._root = path
        endings = Image.registered_extensions()
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in endings and p.is_file())
        if not found:
            raise UsageError(
                f"the folder {str(path)!r} holds no picture; files ending in .png, .jpg, .webp ... are read"
            )
        self.bad: dict[Path, str] = {}
        for file in found:
            try:
                with Image.open(file):
                    pass
            except BROKEN as error:
                self.bad[file] = _reason(error)
        if self.bad:
            named = ", ".join(f"{p.relative_to(path)} ({why})" for p, why in list(self.bad.items())[:NAMED_AT_MOST])
            more = f" and {len(self.bad) - NAMED_AT_MOST} more" if len(self.bad) > NAMED_AT_MOST else ""
            say(f"{len(self.bad)} of {len(found)} files in {path} cannot be read and are left out: {named}{more}")
        self.paths = [p for p in found if p not in self.bad]
        if not self.paths:
            raise UsageError(f"none of the {len(found)} pictures in {str(path)!r} can be read")
        self.shape = (len(self.paths), *sides(size), channels)
        self._lock = threading.Lock()
        fits = int(np.prod(self.shape)) <= MOST_IN_MEMORY
        self._memory = np.empty(self.shape, np.uint8) if fits else None
        self._decoded = np.zeros(len(self.paths), bool)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        return self.read(indices)[0]

    def read(self, indices: np.ndarray, among: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return pictures [B, height, width, channels] and whose they are [B]: another's where it stands in for a broken one.

        Stand-ins come from `among`, sorted rows that include `indices`; from the whole folder without it.
        """
        rows = np.arange(len(self)) if among is None else among
        found = [self._good(rows, int(i)) for i in indices]
        return np.stack([picture for picture, _ in found]), np.array([row for _, row in found])

    def own(self, i: int) -> np.ndarray | None:
        """Return picture i, or None where its file is broken, which is said once."""
        if self._memory is not None and self._decoded[i]:
            return self._memory[i]
        path = self.paths[i]
        if path in self.bad:
            return None
        try:
            with Image.open(path) as file:
                picture = prepare(file, self._size, self._channels, self._crop)
        except BROKEN as error:
            with self._lock:
                if path not in self.bad:
                    self.bad[path] = _reason(error)
                    name = path.relative_to(self._root)
                    self._say(f"{name} is broken ({self.bad[path]}); the next picture stands in for it")
            return None
        if self._memory is not None:
            self._memory[i] = picture
            self._decoded[i] = True
        return picture

    def _good(self, rows: np.ndarray, i: int) -> tuple[np.ndarray, int]:
        first = int(np.searchsorted(rows, i))
        for n in range(len(rows)):
            row = int(rows[(first + n) % len(rows)])
            picture = self.own(row)
            if picture is not None:
                return picture, row
        raise UsageError(f"none of the {len(rows)} pictures in {str(self._root)!r} can be read")


def read_npz(path: Path) -> tuple[np.ndarray, np.ndarray | None, str]:
    """Read images [N, H, W] or [N, H, W, C] and, if there are any, labels [N] from an npz file.

    The images are the array `images`, `x_train` or `x`, or the only one of 3 or 4 dimensions; uint8, or floats in [0, 1].
    """
    try:
        with np.load(_existing(path), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:  # .npy: TypeError
        raise UsageError(f"{str(path)!r} is no npz file of plain arrays: {error}") from error
    shaped = [name for name, array in arrays.items() if array.ndim in (3, 4)]
    named = [name for name in ("images", "x_train", "x") if name in shaped]
    if not named and len(shaped) != 1:
        listed = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items()) or "nothing"
        raise UsageError(f"{str(path)!r} holds {listed}; name the pictures 'images', [N, H, W] or [N, H, W, C]")
    images = arrays[(named or shaped)[0]]
    images = images[..., None] if images.ndim == 3 else images
    if images.dtype.kind == "f":
        if not (len(images) and images.min() >= 0 and images.max() <= 1):
            raise UsageError(f"the pictures in {str(path)!r} are floats outside [0, 1]; store uint8 or divide by 255")
        images = np.round(images * 255).astype(np.uint8)
    if images.dtype != np.uint8 or images.shape[3] not in (1, 3) or not len(images):
        raise UsageError(
            f"the pictures in {str(path)!r} are {images.dtype} {list(images.shape)}; "
            "uint8 [N, H, W] or [N, H, W, 1 or 3] is needed"
        )
    labels = next((arrays[name] for name in ("labels", "y_train", "y") if name in arrays), None)
    if labels is not None:
        labels = labels.reshape(-1).astype(np.int64) if labels.size == len(images) else None
    return images, labels, f"the file {path.name!r}"


def read_mnist(path: Path) -> tuple[np.ndarray, np.ndarray | None, str]:
    """Read an idx3 file, gzipped or not, or the folder that holds train-images-idx3-ubyte; labels if they lie beside it."""
    if path.is_dir():
        found = [p for p in sorted(path.iterdir()) if p.name.startswith(("train-images-idx3", "train-images.idx3"))]
        if not found:
            raise UsageError(f"the folder {str(path)!r} holds no train-images-idx3-ubyte or train-images-idx3-ubyte.gz")
        path = found[0]
    images = _read_idx(path, dimensions=3)[..., None]
    beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    labels = _read_idx(beside, dimensions=1).astype(np.int64) if beside != path and beside.is_file() else None
    if labels is not None and len(labels) != len(images):
        raise UsageError(f"{str(beside)!r} has {len(labels)} labels for {len(images)} images")
    return images, labels, f"the file {path.name!r}"


def _read_idx(path: Path, dimensions: int) -> np.ndarray:
    raw = _existing(path).read_bytes()
    try:
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError) as error:
        raise UsageError(f"{str(path)!r} is a broken gzip file: {error}") from error
    header = 4 + 4 * dimensions
    if len(raw) < header or raw[:4] != bytes([0, 0, 8, dimensions]):
        raise UsageError(f"{str(path)!r} is no idx{dimensions} file of unsigned bytes, as MNIST's are")
    shape = np.frombuffer(raw, ">u4", dimensions, 4).astype(np.int64)
    if len(raw) != header + np.prod(shape) or not shape.all():
        raise UsageError(
            f"{str(path)!r} promises {shape.tolist()} bytes and has {len(raw) - header}: an incomplete copy?"
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def read_cifar10(path: Path) -> tuple[np.ndarray, np.ndarray | None, str]:
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
        raw = np.frombuffer(_existing(batch).read_bytes(), np.uint8)
        if not raw.size or raw.size % 3073 or raw[::3073].max() > 9:
            raise UsageError(
                f"{str(batch)!r} is no CIFAR-10 binary file: records of 3,073 bytes, label first, are needed"
            )
        records.append(raw.reshape(-1, 3073))
    data = np.concatenate(records)
    images = np.ascontiguousarray(data[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    return images, data[:, 0].astype(np.int64), "CIFAR-10"


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UsageError(f"data.source names the file {str(path)!r}, which is not there")
    return path


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "no picture format"
    return getattr(error, "strerror", None) or str(error).split("\n")[0]
