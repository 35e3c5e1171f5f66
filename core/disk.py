"""Files that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from core.errors import UsageError, require

__all__ = [
    "check_output",
    "fsync_folder",
    "new_folder",
    "whole_folder",
    "write_atomically",
    "write_durably",
    "write_output",
    "write_whole",
]

Write = Callable[[Any], Any]
"""Fills a file, open in binary mode, that it is given."""


def write_durably(path: Path, write: Write) -> None:
    """Create the file `path`, let `write(file)` fill it, and return when the disk has it."""
    with open(path, "x+b") as file:  # some of Pillow's formats read what they wrote
        write(file)
        file.flush()
        os.fsync(file.fileno())


def write_atomically(path: Path, text: str) -> None:
    """Replace the file `path` by `text`, as `write_whole` does."""
    write_whole(path, lambda file: file.write(text.encode()))


def write_whole(path: Path, write: Write) -> None:
    """Make or replace the file `path` in one rename, so that a reader sees the old or the new file, whole.

    A link is followed, and what is no file, e.g. a pipe or a device, is written to as it is. Whatever `write` raises leaves
    the old file, and nothing beside it.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        with open(path, "wb") as file:
            write(file)
        return
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        write_durably(temporary, write)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def check_output(path: Path) -> None:
    """Raise UsageError for a file that `write_output` could not make, before the work is done that goes into it."""
    require(
        path.parent.is_dir() and not path.is_dir(),
        f"{str(path)!r} cannot be written: it must be a file in a folder that exists",
    )


def write_output(path: Path, write: Write) -> None:
    """Write a file that the user asked for, as `write_whole` does. Raises UsageError if it cannot be written."""
    try:
        write_whole(path, write)
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be written: {error.strerror or error}") from error


def fsync_folder(path: Path) -> None:
    """Ask the disk to keep the folder's entries (a rename is not durable before that)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def new_folder(named: str, flag: str, hint: str = "") -> Path:
    """Return the folder to make, absolute: a plugin may change the working directory. UsageError, with the flag that named it,
    for one that is not empty or cannot be made."""
    folder = Path(named).expanduser().resolve()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{flag} is {named!r}, which is a file; name a new or an empty folder")
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{flag} is {named!r}, which is not empty; name a new or an empty one{hint}")
    if not folder.parent.is_dir():
        raise UsageError(f"{flag} is {named!r}, which cannot be made: there is no folder {str(folder.parent)!r}")
    return folder


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a new folder to fill, which gets the name `folder` when the block ends, and is gone where it raises."""
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.mkdir()
        yield temporary
        os.sync()  # a rename that the disk has before the files would show empty ones after a power cut
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # not there after success
