"""Members of .tar, .tar.gz and .zip archives, read without unpacking and to the archive's end, so that its checksums count."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from re import Pattern
from typing import Any, BinaryIO

__all__ = ["ARCHIVE", "members"]

ARCHIVE = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
"""Endings of the archives that are read."""
LARGEST = 2**22  # bytes of a text
CHUNK = 2**20
BLOCK = 512  # bytes, of which a tar archive is made
STREAMS: tuple[tuple[bytes, Callable[[Any], Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ", lzma.open),
)


def members(path: Path, wanted: Pattern[str]) -> dict[str, bytes]:
    """Return {name: content} of the members of an archive whose names match.

    All others are read too, since only then their checksums, and the end that a cut archive lacks, are looked at. Raises one of
    core.disk.UNREADABLE for an archive that is damaged, encrypted, or compressed in a way that Python does not know.
    """
    return _zip(path, wanted) if path.name.lower().endswith(".zip") else _tar(path, wanted)


def _tar(path: Path, wanted: Pattern[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with open(path, "rb") as file:
        start = file.read(6)
        file.seek(0)
        opened = next((make for mark, make in STREAMS if start.startswith(mark)), None)
        stream: Any = opened(file) if opened else file
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            for member in archive:
                if member.isfile() and wanted.search(member.name):
                    _check_size(member.name, member.size)
                    content = archive.extractfile(member)
                    assert content is not None
                    found[member.name] = content.read()
            end = archive.offset
        # `tarfile` stops at the first header that it cannot read or that is zeros, as if the archive ended there.
        stream.seek(end)
        rest = stream.read(BLOCK)
        if len(rest) != BLOCK:
            raise tarfile.ReadError("it breaks off")
        while rest:
            if rest.strip(b"\0"):
                raise tarfile.ReadError("a header in it is damaged")
            rest = stream.read(CHUNK)
    return found


def _zip(path: Path, wanted: Pattern[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
        _check_count(file, len(archive.infolist()))
        for member in archive.infolist():
            with archive.open(member) as content:
                if wanted.search(member.filename):
                    _check_size(member.filename, member.file_size)
                    found[member.filename] = content.read()
                _to_the_end(content)
    return found


def _check_count(file: BinaryIO, listed: int) -> None:
    """Compare the length of a zip archive's directory with what its end says: a damaged entry can hide the next ones."""
    end = file.seek(0, 2)
    file.seek(max(0, end - 2**16 - 22))
    tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at >= 0 and len(tail) >= at + 12:
        (entries,) = struct.unpack_from("<H", tail, at + 10)
        if entries != 0xFFFF and entries != listed:  # that number: there are more, and another record counts them
            raise zipfile.BadZipFile(f"its directory lists {listed:,} files, its end says {entries:,}")


def _check_size(name: str, size: int) -> None:
    if size > LARGEST:
        raise ValueError(f"{name} has {size:,} bytes, too many for a text")


def _to_the_end(stream: Any) -> None:
    while stream.read(CHUNK):
        pass
