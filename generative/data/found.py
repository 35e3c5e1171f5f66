"""Files below the user's folder: what is read, and what is left out, counted and said."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from core.errors import UsageError
from core.picture_files import ANIMATED
from generative.data.cache import keep_headers, kept_headers, stamp
from generative.data.pictures import BROKEN, check_pixels, reason

__all__ = [
    "Header",
    "Tree",
    "files_below",
    "listed",
    "names_below",
    "picture_files",
    "pictures_below",
    "user_path",
]

Say = Callable[[str], None]
NAMED_AT_MOST = 5  # files in one line
NO_DECODER = frozenset(
    (
        *(
            ".heic",
            ".heif",
            ".hif",
            ".jxl",
            ".svg",
            ".svgz",
            ".xcf",
            ".exr",
            ".hdr",
            ".dng",
            ".cr2",
            ".cr3",
            ".nef",
            ".nrw",
        ),
        *(".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"),
    )
)
"""Endings of pictures that Pillow does not decode by itself; a plugin of Pillow that is registered takes its ending out."""


class Tree(NamedTuple):
    """Files below a folder, in the order of their names, and what stands among them but is not looked at."""

    files: list[Path]
    hidden: list[str]
    """Files and folders whose names begin with a dot, relative to the root; a folder counts once."""
    unreadable: list[str]
    """Folders that cannot be listed, and links that lead nowhere, with the reason."""


class Header(NamedTuple):
    """What a picture's first bytes say."""

    width: int
    height: int
    frames: bool
    """Whether other frames or pages follow the first."""
    size: int
    """Bytes of the file."""


def user_path(text: str) -> Path:
    """Return the path that a user typed, `~` being the home folder."""
    return Path(text).expanduser()


def listed(names: Sequence[str]) -> str:
    """Return the first of many names, and how many more there are.

    >>> listed(["a", "b"])
    'a, b'
    """
    more = f" and {len(names) - NAMED_AT_MOST:,} more" if len(names) > NAMED_AT_MOST else ""
    return ", ".join(names[:NAMED_AT_MOST]) + more


def files_below(root: Path, what: str = "data.source") -> Tree:
    """Return the files below a folder. Links to folders are followed, each folder is read once, so that circles end.

    Raises UsageError, naming the setting `what`, for a path that is no folder.
    """
    if root.is_file():
        raise UsageError(f"{what} names {str(root)!r}, which is a file; it must be a folder, e.g. {str(root.parent)!r}")
    if not root.is_dir():
        raise UsageError(f"{what} names the folder {str(root)!r}, which is not there")
    tree = Tree([], [], [])
    seen: set[tuple[int, int]] = set()
    links = [root]
    while links:  # own folders before linked ones: a folder that is there and linked to as well keeps its own name
        waiting = [links.pop(0)]
        while waiting:
            folder = waiting.pop()
            try:
                about = folder.stat()
                if (about.st_dev, about.st_ino) in seen:
                    continue
                seen.add((about.st_dev, about.st_ino))
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError as error:
                tree.unreadable.append(f"{_relative(folder, root)} ({error.strerror})")
                continue
            for entry in entries:
                path = folder / entry.name
                kind = _kind(entry)
                if entry.name.startswith("."):
                    tree.hidden.append(_relative(path, root))
                elif kind == "folder":
                    (links if entry.is_symlink() else waiting).append(path)
                elif kind == "file":
                    tree.files.append(path)
                elif entry.is_symlink():
                    tree.unreadable.append(f"{_relative(path, root)} (a link that leads nowhere)")
        links.sort()
    tree.files.sort()
    return tree


def picture_files(root: Path, say: Say, what: str = "data.source") -> list[Path]:
    """Return the files below a folder whose endings are those of pictures, in the order of their names.

    `say` gets a line about hidden files and formats that are not read. Raises UsageError for a path that is no folder and for one
    that holds no picture.
    """
    tree = files_below(root, what)
    endings = Image.registered_extensions()
    found: list[Path] = []
    undecoded: list[Path] = []
    for path in tree.files:
        ending = path.suffix.lower()
        if ending in endings:
            found.append(path)
        elif ending in NO_DECODER:
            undecoded.append(path)
    if tree.unreadable:
        say(
            f"{len(tree.unreadable)} folders or links in {root} cannot be followed and are left out: {listed(tree.unreadable)}"
        )
    pictured = [name for name in tree.hidden if Path(name).suffix.lower() in endings or (root / name).is_dir()]
    if pictured:
        say(f"{len(pictured)} hidden files or folders in {root} are left out: {listed(pictured)}")
    if undecoded:
        kinds = ", ".join(sorted({path.suffix.lower() for path in undecoded}))
        names = listed([_relative(path, root) for path in undecoded])
        say(
            f"{len(undecoded)} pictures in {root} are of formats that are not read ({kinds}) and are left out; convert them "
            f"to .png or .jpg: {names}"
        )
    if not found:
        raise UsageError(f"the folder {str(root)!r} holds no picture; files ending in .png, .jpg, .webp ... are read")
    return found


def pictures_below(
    root: Path, say: Say, what: str = "data.source", cache: Path | None = None
) -> tuple[dict[Path, Header], dict[Path, str]]:
    """Return (header of every picture below a folder in the order of their names, reason why each other one is left out).

    `say` gets a line about each kind of file that is left out. Headers that are kept in the folder `cache` are not read from
    files that have not changed. Raises UsageError for a path that is no folder and for one that holds no picture.
    """
    found = picture_files(root, say, what)
    good: dict[Path, Header] = {}
    bad: dict[Path, str] = {}
    kept = {} if cache is None else kept_headers(cache, root)
    known: dict[str, list[int]] = {}
    for path, name in zip(found, names_below(found, root), strict=True):
        about = stamp(path)  # before the header: a file that changes now gets another one
        if about is not None and name in kept and kept[name][:3] == [*about]:
            known[name] = kept[name]
            width, height, frames = kept[name][3:]
            good[path] = Header(width, height, bool(frames), about[0])
            continue
        try:
            with Image.open(path) as picture:
                check_pixels(picture)
                frames = picture.format in ANIMATED and bool(getattr(picture, "is_animated", False))
                good[path] = Header(*picture.size, frames, about[0] if about else path.stat().st_size)
        except BROKEN as error:
            bad[path] = reason(error)
        else:
            if about is not None:
                known[name] = [*about, *good[path][:3]]
    if cache is not None and known != kept:
        keep_headers(cache, root, known)
    if bad:
        names = listed([f"{_relative(path, root)} ({why})" for path, why in bad.items()])
        say(f"{len(bad)} of {len(found)} files in {root} cannot be read and are left out: {names}")
    if not good:
        raise UsageError(f"none of the {len(found)} pictures in {str(root)!r} can be read")
    if several := [_relative(path, root) for path, header in good.items() if header.frames]:
        say(f"of {len(several)} files in {root} only the first frame or page is used: {listed(several)}")
    return good, bad


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else "other"
    except OSError:  # a link to itself
        return "other"


def _relative(path: Path, root: Path) -> str:
    """Return a path's name relative to a folder above it."""
    return names_below([path], root)[0]


def names_below(paths: Iterable[Path], root: Path) -> list[str]:
    """Return the names of paths relative to a folder above them; pathlib's own way takes seconds for a hundred thousand."""
    begin = f"{root}/"
    texts = ((str(path), path) for path in paths)
    return [text[len(begin) :] if text.startswith(begin) else path.relative_to(root).as_posix() for text, path in texts]
