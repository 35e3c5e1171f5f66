"""What is kept of the user's pictures in the cache folder, so that each file is decoded once: headers and decoded pixels.

Whatever lies there can be deleted at any time, and is made again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import mmap
import os
import shutil
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from core.disk import write_whole
from core.unreadable import UNREADABLE

__all__ = [
    "InMemory",
    "OnDisk",
    "Stamp",
    "cache_folder",
    "cache_place",
    "keep_headers",
    "kept_headers",
    "size_of",
    "stamp",
]

FORMAT = 1
PAGE = 4096  # bytes
Stamp = tuple[int, int, int]
"""A file's size in bytes, and when its bytes and its entry were last changed, in ns: another stamp is another file."""


def cache_folder() -> Path:
    """Return the folder for what can be made again: $PONGAN_CACHE, or pongan below the user's cache folder."""
    base = os.environ.get("PONGAN_CACHE")
    return Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pongan"


def cache_place(setting: str) -> Path | None:
    """Return the folder that data.cache means, absolute: yes the user's cache folder, no none, or a path."""
    if setting == "no":
        return None
    return (cache_folder() if setting == "yes" else Path(setting).expanduser()).absolute()


def stamp(path: str | Path) -> Stamp | None:
    """Return a file's stamp, None where it cannot be looked at."""
    try:
        about = os.stat(path)
    except OSError:
        return None
    return about.st_size, about.st_mtime_ns, about.st_ctime_ns


def size_of(count: int) -> str:
    """Return a number of bytes for people.

    >>> size_of(3_072), size_of(1_228_800_000)
    ('4 KB', '1.2 GB')
    """
    for unit, size in (("GB", 10**9), ("MB", 10**6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{-(-count // 1000)} KB"


def _below(place: Path, root: Path) -> Path:
    """Return the folder in which the cache `place` keeps what it knows of the folder `root`."""
    return place / f"folder-{hashlib.blake2b(os.fsencode(root), digest_size=8).hexdigest()}"


# --- headers ------------------------------------------------------------------------------------------------------------


def kept_headers(place: Path, root: Path) -> dict[str, list[int]]:
    """Return {name below `root`: [*stamp, ...]} as `keep_headers` kept it; empty where nothing whole of this version is there."""
    try:
        digest, _, body = (_below(place, root) / "headers.json").read_bytes().partition(b"\n")
        return dict(json.loads(body)) if digest == _sum_of_headers(body) else {}
    except UNREADABLE:
        return {}


def keep_headers(place: Path, root: Path, headers: Mapping[str, Sequence[int]]) -> None:
    """Replace what is kept of the headers below `root`. Where that cannot be, they are read again the next time."""
    body = json.dumps(headers, separators=(",", ":")).encode()
    folder = _below(place, root)
    with contextlib.suppress(OSError):  # said of the pixels, which need the same folder and cost more
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "headers.json", lambda file: file.write(_sum_of_headers(body) + b"\n" + body))


def _sum_of_headers(body: bytes) -> bytes:
    version = f"{FORMAT} {PIL.__version__} {Image.MAX_IMAGE_PIXELS}".encode()
    return hashlib.blake2b(body, digest_size=16, key=version).hexdigest().encode()


# --- pixels -------------------------------------------------------------------------------------------------------------


class InMemory:
    """Decoded pictures [N, H, W, C] uint8 in this process's memory."""

    def __init__(self, shape: tuple[int, ...]):
        self.pixels = np.empty(shape, np.uint8)
        self.ready = np.zeros(shape[0], bool)
        """Which pictures can be taken from `pixels`."""

    def get(self, i: int) -> np.ndarray | None:
        return self.pixels[i] if self.ready[i] else None

    def put(self, i: int, picture: np.ndarray) -> None:
        self.pixels[i] = picture
        self.ready[i] = True


class OnDisk:
    """Decoded pictures [N, H, W, C] uint8 in a file that is mapped into memory, each with a checksum.

    The name of the file is a key of all that the pixels follow from: names and stamps of the pictures below `root`, their shape,
    `how` they are prepared, and Pillow's version. So two processes with one file write the same bytes, and need no lock: each
    decodes what is not there yet, and both find it. A checksum is written after its pixels and compared before their first use,
    so that half of a picture, or a damaged one, is decoded again. The file has holes for pictures that were never asked for.

    Files of the same folder and preparation whose pictures were others are deleted when a new one begins.

    Raises OSError or ValueError where the file cannot be made, mapped or, with all its pictures, written.
    """

    def __init__(
        self,
        place: Path,
        root: Path,
        names: Iterable[str],
        stamps: Iterable[Stamp | None],
        shape: Sequence[int],
        how: str,
        say: Callable[[str], None],
    ):
        count, *sides = shape
        self._say, self._damaged = say, False
        key = hashlib.blake2b(f"{FORMAT} {PIL.__version__} {shape} {how}\n".encode(), digest_size=16)
        for name, about in zip(names, stamps, strict=True):
            key.update(f"{name}\0{about}\n".encode(errors="surrogateescape"))
        self._key = key.digest()
        kind = f"{'x'.join(map(str, sides))}-{how}"
        self.path = _below(place, root) / f"{kind}-{key.hexdigest()}.pixels"
        self._bytes = int(np.prod(sides))
        self._first = -(-8 * count // PAGE) * PAGE  # checksums, then pixels
        self.size = self._first + count * self._bytes
        """Bytes that all pictures take."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file, self.new = self._opened()
        """`new`: whether the file was not there before."""
        weakref.finalize(self, os.close, self._file)
        if self.new:
            for other in self.path.parent.glob(f"{kind}-*.pixels"):
                if other != self.path:
                    other.unlink(missing_ok=True)
            os.ftruncate(self._file, self.size)
        mapped = mmap.mmap(self._file, self.size, access=mmap.ACCESS_READ)
        self._sums = np.frombuffer(mapped, "<u8", count)
        self.pixels = np.frombuffer(mapped, np.uint8, count * self._bytes, self._first).reshape(shape)
        self.ready = np.zeros(count, bool)
        """Which pictures were found to fit their checksums."""

    def _opened(self) -> tuple[int, bool]:
        """Return (descriptor of the file, whether it is empty): one that can be read only serves while nothing is missing."""
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            if not self.path.is_file() or self.path.stat().st_size != self.size:
                raise
            return os.open(self.path, os.O_RDONLY | os.O_CLOEXEC), False
        there = os.fstat(file).st_size
        if there == self.size:
            return file, False
        if there:  # cut off by something else than this class; whoever has mapped it must keep it
            os.close(file)
            self.path.unlink()
            return self._opened()
        free = shutil.disk_usage(self.path.parent).free
        if free < self.size:
            os.close(file)
            self.path.unlink()
            raise OSError(errno.ENOSPC, f"they would take {size_of(self.size)}, and {size_of(free)} are free")
        return file, True

    def get(self, i: int) -> np.ndarray | None:
        """Return picture i [H, W, C], which cannot be written to; None where it is not there whole."""
        if not self.ready[i]:
            kept = int(self._sums[i])
            if not kept:
                return None
            if kept != self._sum(i, self.pixels[i]):
                if not self._damaged:
                    self._damaged = True
                    self._say(f"{self.path} is damaged: pictures that do not fit their checksums are decoded again")
                return None
            self.ready[i] = True
        return self.pixels[i]

    def put(self, i: int, picture: np.ndarray) -> None:
        """Keep picture i. Raises OSError, e.g. where the disk is full."""
        picture = np.ascontiguousarray(picture)
        self._write(picture.tobytes(), self._first + i * self._bytes)
        self._write(self._sum(i, picture).to_bytes(8, "little"), 8 * i)

    def _write(self, content: bytes, place: int) -> None:
        while content:  # a disk that is nearly full takes a part
            written = os.pwrite(self._file, content, place)
            content, place = content[written:], place + written

    def _sum(self, i: int, picture: np.ndarray) -> int:
        digest = hashlib.blake2b(picture.data, digest_size=8, key=self._key, salt=i.to_bytes(8, "little"))
        return int.from_bytes(digest.digest(), "little")
